# SPDX-License-Identifier: Apache-2.0
"""Held-out people as a calibration set, and the search for layers on it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr import cli
from fasthmr.body import load_body
from fasthmr.encoder.checkpoint import load_checkpoint, save_checkpoint
from fasthmr.encoder.random_weights import random_state
from fasthmr.errors import BadCall
from fasthmr.training.calibration import load_calibration, mean_distance_mm
from fasthmr.training.people_calibration import people_calibration
from tests.encoder.open_network import TINY_CROPS
from tests.encoder.small_sizes import TINY_HMR2
from tests.training.tiny_people import write_tiny_people


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_people(load_body("open"), tmp_path_factory.mktemp("people") / "set")


def test_the_set_goes_to_a_file_and_back(people: Path, tmp_path: Path) -> None:
    data = people_calibration(people, TINY_CROPS, count=5)
    assert len(data) == 5
    data.save(tmp_path / "set.npz")
    again = load_calibration(tmp_path / "set.npz", TINY_CROPS, labelled=True)
    assert again.digest == data.digest
    assert people_calibration(people, TINY_CROPS, count=5).digest == data.digest
    assert data.description["held_out"] == 8


def test_networks_of_colours_are_refused(people: Path) -> None:
    with pytest.raises(BadCall, match="train encoder"):
        people_calibration(people, TINY_HMR2, count=3)


@pytest.mark.parametrize("tokens", [None, "64"])
def test_the_search_measures_this_network(
    people: Path, tokens: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = random_state(TINY_CROPS)
    for name in ("attn.proj", "mlp.fc2"):  # the last layer does nothing
        for part in ("weight", "bias"):
            state[f"backbone.blocks.2.{name}.{part}"].zero_()
    save_checkpoint(tmp_path / "open.safetensors", state, TINY_CROPS)
    words = ["train", "eclm", "--model", "open", "--checkpoint", str(tmp_path / "open.safetensors")]
    words += ["--people", str(people), "--out", str(tmp_path / "merged.safetensors"), "--frames", "6"]
    words += ["--tau", "0.0001", "--variant", "keep_first", "--device", "cpu", "--json"]
    assert cli.main([*words, *([] if tokens is None else ["--tokens", tokens])]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert (plan["tests"][0]["low"], plan["tests"][0]["high"]) == (1, 2)
    if tokens is None:  # merging asks a layer for its keys, idle or not
        assert plan["groups"][-1][-2:] == [1, 2]
        assert plan["tests"][0]["value"] == pytest.approx(plan["baseline"], abs=1e-4)
    data = people_calibration(people, TINY_CROPS, 6)
    assert data.joints is not None
    if tokens is None:
        model = load_checkpoint(tmp_path / "open.safetensors", "open")
        batch = data.batch(slice(None), torch.device("cpu"))
        output = model(batch.crops, landmarks=batch.landmarks)
        joints, _ = load_body("open").joints(output.rotmat, output.betas)
        expected = mean_distance_mm(joints, torch.from_numpy(data.joints))
        assert plan["baseline"] == pytest.approx(expected, abs=0.01)
    merged = load_checkpoint(tmp_path / "merged.safetensors", "open")
    assert merged.config == dataclasses.replace(TINY_CROPS, depth=len(plan["groups"]))
    assert np.isfinite(plan["value"])
