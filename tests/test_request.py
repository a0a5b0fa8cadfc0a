# SPDX-License-Identifier: Apache-2.0
"""Which encoder a request asks for, and which requests can never work."""

from __future__ import annotations

from pathlib import Path

import pytest

from fasthmr import request as module
from fasthmr.errors import BadCall, MissingModel
from fasthmr.request import ALL_TOKENS, DEFAULT_MODEL, MODELS, OPEN_TOKENS, RecoverRequest, check


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The encoder that comes along."""
    path = tmp_path / "encoder.safetensors"
    path.write_bytes(b"weights")
    monkeypatch.setattr(module, "WEIGHTS", path)
    return path


@pytest.fixture
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WEIGHTS", tmp_path / "nothing.safetensors")


def asked(**settings: object) -> RecoverRequest:
    return RecoverRequest(Path("clip.mp4"), Path("out"), **settings)  # type: ignore[arg-type]


def test_open_takes_the_encoder_that_comes_along(weights: Path) -> None:
    choice = asked(model="open", precision="fp32", tokens=96).encoder
    assert choice is not None
    assert (choice.kind, choice.checkpoint, choice.precision, choice.tokens) == ("open", weights, "fp32", 96)
    check(asked(model="open", precision="fp32", tokens=96))
    usual = asked(model="open").encoder
    assert usual is not None
    assert usual.tokens == OPEN_TOKENS


def test_a_users_own_goes_before_it(weights: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.safetensors"
    own.write_bytes(b"other weights")
    choice = asked(model="open", checkpoint=own).encoder
    assert choice is not None
    assert choice.checkpoint == own != weights
    assert choice.tokens == ALL_TOKENS


@pytest.mark.usefixtures("weights")
def test_landmarks_take_none() -> None:
    assert asked(model="landmarks").encoder is None
    check(asked(model="landmarks"))


@pytest.mark.usefixtures("_no_weights")
def test_where_none_comes_along_open_is_landmarks() -> None:
    assert asked(model="open").encoder is None
    check(asked(model="open"))
    with pytest.raises(BadCall, match="No encoder comes along"):
        check(asked(model="open", tokens=96))
    with pytest.raises(BadCall, match="No encoder comes along"):
        check(asked(model="open", precision="bf16"))


@pytest.mark.parametrize(
    "settings", [{"tokens": 96}, {"precision": "bf16"}, {"checkpoint": Path("own.safetensors")}]
)
def test_settings_of_an_encoder_mean_nothing_to_landmarks(settings: dict[str, object]) -> None:
    with pytest.raises(BadCall, match="'landmarks' has no encoder"):
        check(asked(model="landmarks", **settings))


def test_networks_of_others_need_their_checkpoint() -> None:
    with pytest.raises(MissingModel, match="hmr2"):
        check(asked(model="hmr2"))


def test_the_usual_model_is_one_of_them() -> None:
    assert DEFAULT_MODEL in MODELS
    assert asked().model == DEFAULT_MODEL
