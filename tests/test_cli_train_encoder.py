# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train encoder`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fasthmr import cli
from fasthmr.encoder.config import OPEN
from fasthmr.training import encoder as module
from fasthmr.training.encoder import EncoderTraining
from fasthmr.training.encoder_validation import EncoderError

ERROR = EncoderError(80.0, 50.0, 82.0, 52.0, 120.0, 90.0, 9.0, 12.0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[EncoderTraining]:
    """The training that a call asks for, which is not done."""
    found: list[EncoderTraining] = []

    def train(training: EncoderTraining, *_: Any) -> dict[str, EncoderError]:
        found.append(training)
        return {"pictures": ERROR}

    monkeypatch.setattr(module, "train_encoder", train)
    return found


def test_options_become_a_training(
    asked: list[EncoderTraining], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "encoder", "--people", "people", "--mocap", "mocap", "--out", str(tmp_path)]
    more = ["--minutes", "2", "--landmark-minutes", "1", "--batch", "8", "--mocap-batch", "64", "--seed", "7"]
    assert cli.main([*words, *more, "--rgb", "--width", "128", "--depth", "3", "--device", "cpu"]) == 0
    (training,) = asked
    assert training.people == Path("people")
    assert training.mocap == Path("mocap")
    assert (training.minutes, training.landmark_minutes) == (2, 1)
    assert (training.batch, training.mocap_batch, training.seed) == (8, 64, 7)
    config = training.config
    assert (config.in_channels, config.dim, config.heads, config.depth) == (5, 128, 2, 3)
    out, err = capsys.readouterr()
    assert "MPJPE 80.0 mm" in out
    assert "landmarks 120.0, 90.0" in out
    assert "encoder.safetensors" in err


def test_what_is_not_said_is_usual(
    asked: list[EncoderTraining], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["train", "encoder", "--people", "people", "--out", str(tmp_path), "--json"]) == 0
    (training,) = asked
    assert training == EncoderTraining(Path("people"), tmp_path, device=training.device)
    assert training.config == OPEN
    assert json.loads(capsys.readouterr().out)["pictures"]["pa_mpjpe_mm"] == 50.0


def test_a_width_that_has_no_heads_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "encoder", "--out", str(tmp_path), "--width", "100"]) == 2
    assert "multiples of 64" in capsys.readouterr().err
