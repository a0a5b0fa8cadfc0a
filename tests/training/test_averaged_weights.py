# SPDX-License-Identifier: Apache-2.0
"""Averages of motion decoders: what they are of, and what has none."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from fasthmr import cli
from fasthmr.decoder.motion_decoder import MotionDecoder, load_decoder, save_decoder
from fasthmr.errors import BadCall, BadInput, MissingModel
from fasthmr.training.averaged_weights import average_decoders
from tests.decoder.tiny_decoder import TINY


def saved(decoder: MotionDecoder, path: Path) -> Path:
    save_decoder(decoder, path)
    return path


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    torch.manual_seed(0)
    first = MotionDecoder(TINY)
    second = copy.deepcopy(first)
    with torch.no_grad():
        for weights in (*second.regressor.parameters(), *second.denoiser.parameters()):
            weights += torch.randn_like(weights)
    return [saved(first, tmp_path / "a.safetensors"), saved(second, tmp_path / "b.safetensors")]


def test_the_average_is_that_of_every_weight(two: list[Path]) -> None:
    average, parts = average_decoders(two, [1, 3])
    one, other = (load_decoder(file).state_dict() for file in two)
    differs = False
    for name, value in average.state_dict().items():
        assert torch.allclose(value, 0.25 * one[name] + 0.75 * other[name], atol=1e-6), name
        differs |= not torch.equal(one[name], other[name])
    assert differs
    assert [part["share"] for part in parts["average"]] == [0.25, 0.75]
    assert [part["file"] for part in parts["average"]] == ["a.safetensors", "b.safetensors"]


def test_equal_shares_when_none_are_given(two: list[Path]) -> None:
    left, right = average_decoders(two)[0].state_dict(), average_decoders(two[::-1], [2, 2])[0].state_dict()
    assert all(torch.allclose(left[name], right[name], atol=1e-6) for name in left)


def test_what_cannot_be_averaged_is_refused(two: list[Path], tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="two weights"):
        average_decoders(two[:1])
    for shares in ([1.0], [1.0, 0.0], [1.0, -1.0], [1.0, 1.0, 1.0]):
        with pytest.raises(BadCall, match="as many shares"):
            average_decoders(two, shares)
    with pytest.raises(MissingModel, match="nowhere"):
        average_decoders([two[0], tmp_path / "nowhere.safetensors"])
    other = load_decoder(two[0])
    with torch.no_grad():
        next(other.vae.parameters()).add_(1.0)
    with pytest.raises(BadInput, match="another VAE"):
        average_decoders([two[0], saved(other, tmp_path / "c.safetensors")])


def test_the_command_writes_a_decoder(
    two: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    assert cli.main(["train", "average", *map(str, two), "--shares", "1", "3", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    wanted = average_decoders(two, [1, 3])[0].state_dict()
    made = load_decoder(out).state_dict()
    assert all(torch.allclose(made[name], wanted[name], atol=2e-3, rtol=2e-3) for name in made)
