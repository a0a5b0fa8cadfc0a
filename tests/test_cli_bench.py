# SPDX-License-Identifier: Apache-2.0
"""``fasthmr bench ...``: what the options mean, and what is printed."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from fasthmr import cli
from fasthmr.encoder.config import CAMERAHMR, HMR2, SMALL_OPEN
from fasthmr.evaluation import bench_merging as merging


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the benchmark of merging was asked for; it is not run."""
    seen: dict[str, Any] = {}

    def stand_in(config: Any, checkpoint: Any, **others: Any) -> dict[str, Any]:
        seen.update(others, config=config, checkpoint=checkpoint)
        return {"figures": 1}

    def text(figures: Mapping[str, Any]) -> str:
        return f"table of {figures['figures']}"

    monkeypatch.setattr(signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(merging, "bench_merging", stand_in)
    monkeypatch.setattr(merging, "as_text", text)
    return seen


def test_without_options(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "merging", "--device", "cpu", "--precision", "fp32"]) == 0
    assert capsys.readouterr().out == "table of 1\n"
    asked.pop("progress")
    assert asked == {
        "config": HMR2,
        "checkpoint": None,
        "batches": (1, 8, 32),
        "device": torch.device("cpu"),
        "precision": torch.float32,
        "layers": None,
        "target_tokens": None,
        "schedule": None,
        "repeats": 5,
        "variants": merging.TWO,
        "compiled": False,
    }


def test_every_option(asked: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "--checkpoint here.ckpt --model camerahmr --batch 2,4 --layers 28 --tokens 90 --schedule 40,40,22 "
        "--device cpu --precision bf16 --compile --compare --repeats 9 --json"
    )
    assert cli.main(["bench", "merging", *words.split()]) == 0
    assert json.loads(capsys.readouterr().out) == {"figures": 1}
    asked.pop("progress")
    assert asked == {
        "config": CAMERAHMR,
        "checkpoint": Path("here.ckpt"),
        "batches": (2, 4),
        "device": torch.device("cpu"),
        "precision": torch.bfloat16,
        "layers": 28,
        "target_tokens": 90,
        "schedule": (40, 40, 22),
        "repeats": 9,
        "variants": tuple(merging.VARIANTS),
        "compiled": True,
    }


@pytest.mark.parametrize("words", [["--size", "small"], ["--model", "open"]])
def test_small_network(asked: dict[str, Any], words: list[str]) -> None:
    assert cli.main(["bench", "merging", "--device", "cpu", *words]) == 0
    assert asked["config"] == SMALL_OPEN


@pytest.mark.parametrize("words", [["--batch", "1;8"], ["--schedule", "many"], ["--precision", "int8"]])
def test_words_that_mean_nothing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["bench", "merging", *words])
    assert stopped.value.code == 2
    assert words[1] in capsys.readouterr().err


def test_operator_for_one_size(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)
    words = "operator --size small --batch 2 --device cpu --precision fp32 --repeats 2 --json"
    assert cli.main(["bench", *words.split()]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert len(figures["rows"]) == 1
    assert figures["settings"]["repeats"] == 2
    assert cli.main(["bench", *words.replace("--size small", "").split()[:-1]]) == 0
    assert len(capsys.readouterr().out.splitlines()) > 2


def test_a_real_run_prints_one_line_of_json(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)
    words = "merging --size small --device cpu --batch 1 --repeats 1 --json"
    assert cli.main(["bench", *words.split()]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["batches"][0]["variants"]["merged"]["flop_ratio"] > 2
