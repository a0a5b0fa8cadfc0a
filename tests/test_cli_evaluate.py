# SPDX-License-Identifier: Apache-2.0
"""``fasthmr evaluate``: its words, and what comes out of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from fasthmr import cli, cli_evaluate
from fasthmr.body import BodyModel
from fasthmr.cli_evaluate import with_word
from fasthmr.decoder import motion_decoder
from fasthmr.decoder.landmark_fit import FitSettings, fit_landmarks
from fasthmr.evaluation import ablations, methods, truth_table
from fasthmr.evaluation.footage import blender, make
from fasthmr.evaluation.methods import Watched
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.progress import Progress
from fasthmr.request import DECODERS
from tests.decoder.landmark_fit.synthetic import evidence_of, walk
from tests.evaluation.filmed_walk import filmed
from tests.fake_parts import make_track


@pytest.fixture(autouse=True)
def _quick_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The landmark fit takes a few steps only: its exactness is tested elsewhere."""
    few = FitSettings(shape_steps=2, motion_steps=4)

    def fit(evidence: Evidence, body: BodyModel, progress: Progress) -> BodyEstimate:
        return fit_landmarks(evidence, body, progress, few)

    monkeypatch.setattr(methods, "fit_landmarks", fit)


@pytest.fixture
def footage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two rendered clips whose people are found without looking."""
    rotations, pelvis = walk(16)
    evidence, _ = evidence_of(rotations, pelvis, torch.zeros(10))

    def watch(*_: Any) -> Watched:
        return Watched([make_track(1, range(16))], {None: [evidence]})

    monkeypatch.setattr(truth_table, "watch", watch)
    monkeypatch.setattr(ablations, "watch", watch)
    monkeypatch.setattr(motion_decoder, "WEIGHTS", tmp_path / "none.safetensors")
    for name in ("a", "b"):
        (tmp_path / f"{name}.mp4").write_bytes(b"video")
        filmed(16).save(tmp_path / f"{name}.truth.npz")
    return tmp_path


def test_job_folders_need_no_word() -> None:
    assert with_word(["evaluate", "a.job", "b.job"]) == ["evaluate", "jobs", "a.job", "b.job"]
    assert with_word(["evaluate", "--json", "a.job"]) == ["evaluate", "jobs", "--json", "a.job"]
    for word in ("jobs", "footage", "truth", "ablations", "--help"):
        assert with_word(["evaluate", word, "x"]) == ["evaluate", word, "x"]
    assert with_word(["evaluate"]) == ["evaluate"]
    assert with_word(["recover", "x"]) == ["recover", "x"]


def test_missing_job_is_told_in_both_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["evaluate"], ["evaluate", "jobs"]):
        assert cli.main([*words, str(tmp_path / "no.job")]) == 3
        assert "holds no finished job" in capsys.readouterr().err


def test_decoders_are_those_of_requests() -> None:
    assert set(cli_evaluate._DECODERS) == set(DECODERS)


def test_truth_gives_a_table_and_json(footage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "truth", str(footage), "--one-euro"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("landmark_fit + One-Euro\n")
    assert "| a |" in out
    assert "| **mean** |" in out
    assert "true field of view" in out
    assert cli.main(["evaluate", "truth", str(footage), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["method"] == "landmark_fit"
    assert [one["sequence"] for one in content["sequences"]] == ["a", "b"]
    assert content["mean"]["mpjpe"] == pytest.approx(content["sequences"][0]["mpjpe"])


def test_truth_refuses_what_cannot_be(footage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = ["evaluate", "truth", str(footage)]
    assert cli.main([*truth, "--decoder", "landmark_fit", "--steps", "4"]) == 2
    assert cli.main([*truth, "--decoder", "diffusion"]) == 5
    assert cli.main([*truth, "--model", "hmr2"]) == 2
    assert cli.main(["evaluate", "truth", str(footage / "nothing")]) == 3
    assert "evaluate footage" in capsys.readouterr().err


def test_ablations_write_both_files(footage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = footage / "tables.md"
    clip = footage / "street.mp4"
    assert cli.main(["evaluate", "ablations", str(footage), "--out", str(out), "--clips", str(clip)]) == 0
    text = out.read_text(encoding="utf-8")
    assert "| landmark_fit + One-Euro |" in text
    assert "| street | landmark_fit |" in text
    assert str(footage) not in text.replace(f"{footage.name} ", "")
    rows = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert len(rows["truth"]) == 4
    assert len(rows["without_truth"]) == 2
    assert "only the baselines" in capsys.readouterr().err
    assert cli.main(["evaluate", "ablations", str(footage), "--out", "tables.txt"]) == 2


def test_footage_is_asked_for_as_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[Any] = []

    def pretend(request: Any, renderer: Any, progress: Any) -> list[make.Made]:
        asked.append((request, renderer))
        return [make.Made("01_still_walk", "d", "clip", "still", 60, 1.7, "4.2")]

    monkeypatch.setattr(make, "make_footage", pretend)
    monkeypatch.setattr(blender, "find_blender", lambda named, threads: (named, threads))
    words = ["--mocap", "m", "--out", "o", "--sequences", "3", "--seconds", "2", "--blender", "b"]
    assert cli.main(["evaluate", "footage", *words]) == 0
    assert capsys.readouterr().out.strip() == str(Path("o/01_still_walk.mp4"))
    ((request, renderer),) = asked
    assert request == make.FootageRequest(Path("m"), Path("o"), 3, 2.0)
    assert renderer == (Path("b"), 1)
