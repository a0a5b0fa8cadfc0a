# SPDX-License-Identifier: Apache-2.0
"""Rendered clips are found, recovered once for all methods, and told in tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fasthmr.body import BodyModel
from fasthmr.decoder.landmark_fit import FitSettings, fit_landmarks
from fasthmr.errors import BadInput, NobodyFound
from fasthmr.evaluation import methods, truth_table
from fasthmr.evaluation.ablations import Seen, baselines, document
from fasthmr.evaluation.against_truth import compare, mean_of
from fasthmr.evaluation.methods import Watched
from fasthmr.evaluation.truth_table import (
    COLUMNS,
    Result,
    by_method,
    by_sequence,
    evaluate_clip,
    number,
    one_figure,
    rendered_clips,
)
from fasthmr.evaluation.without_truth import measure
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.models import Models
from fasthmr.progress import Progress
from tests.decoder.landmark_fit.synthetic import BODY, evidence_of, walk
from tests.evaluation.filmed_walk import filmed, recovered
from tests.fake_parts import make_track

FIGURES = compare([recovered(40)], filmed(40), BODY)


@pytest.fixture(autouse=True)
def _quick_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The landmark fit takes a few steps only: its exactness is tested elsewhere."""
    few = FitSettings(shape_steps=2, motion_steps=4)

    def fit(evidence: Evidence, body: BodyModel, progress: Progress) -> BodyEstimate:
        return fit_landmarks(evidence, body, progress, few)

    monkeypatch.setattr(methods, "fit_landmarks", fit)


def write_clip(folder: Path, name: str, frames: int = 40) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{name}.mp4").write_bytes(b"a video")
    filmed(frames).save(folder / f"{name}.truth.npz")


def test_clips_with_truth_are_found_in_order(tmp_path: Path) -> None:
    write_clip(tmp_path, "b")
    write_clip(tmp_path, "a")
    (tmp_path / "c.mp4").write_bytes(b"no truth")
    assert [clip.name for clip in rendered_clips(tmp_path)] == ["a", "b"]
    with pytest.raises(BadInput, match="evaluate footage"):
        rendered_clips(tmp_path / "nothing")


def test_clip_is_watched_once_with_the_true_view(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path, "a", 20)
    (clip,) = rendered_clips(tmp_path)
    asked: list[Any] = []
    rotations, pelvis = walk(20)
    evidence, _ = evidence_of(rotations, pelvis, torch.zeros(10))

    def watch(video: Path, work: Path, models: Models, progress: Progress, fov: float, *_: Any) -> Watched:
        asked.append((video, work, fov))
        return Watched([], {None: [evidence]})

    monkeypatch.setattr(truth_table, "watch", watch)
    results = evaluate_clip(clip, baselines(), tmp_path / "w", BODY, Models(), None, Progress())
    ((video, work, fov),) = asked
    assert (video, work) == (clip.video, tmp_path / "w")
    assert fov == pytest.approx(2 * np.degrees(np.arctan(640 / 1400)))
    plain, smooth = (result.figures for result in results)
    assert [result.method for result in results] == ["landmark_fit", "landmark_fit + One-Euro"]
    assert plain.coverage == smooth.coverage == 100
    assert plain.mpjpe < 150
    assert smooth.mpjpe != plain.mpjpe


def test_clip_with_nobody_has_no_coverage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path, "a")
    (clip,) = rendered_clips(tmp_path)

    def nobody(*_: Any) -> Watched:
        raise NobodyFound("nobody")

    monkeypatch.setattr(truth_table, "watch", nobody)
    for result in evaluate_clip(clip, baselines(), tmp_path, BODY, Models(), None, Progress()):
        assert result.figures.coverage == 0
        assert result.to_json()["mpjpe"] is None


def results() -> list[Result]:
    return [
        Result(method, sequence, replace(FIGURES, mpjpe=value))
        for method, values in (("one", (50.0, 60.0)), ("two", (70.04, float("nan"))))
        for sequence, value in zip(("a", "b"), values, strict=True)
    ]


def cells(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_table_of_sequences_ends_with_the_mean() -> None:
    rows = cells(by_sequence(results()[:2]))
    column = 1 + [key for key, _, _ in COLUMNS].index("mpjpe")
    assert [row[0] for row in rows] == ["sequence", "---", "a", "b", "**mean**"]
    assert [row[column] for row in rows[2:]] == ["50.0", "60.0", "55.0"]
    assert len({len(row) for row in rows}) == 1


def test_table_of_methods_has_means() -> None:
    rows = cells(by_method(results()))
    column = 1 + [key for key, _, _ in COLUMNS].index("mpjpe")
    assert [(row[0], row[column]) for row in rows[2:]] == [("one", "55.0"), ("two", "70.0")]


def test_table_of_one_figure_has_a_column_a_method() -> None:
    assert cells(one_figure(results(), "mpjpe")) == [
        ["sequence", "one", "two"],
        ["---", "---:", "---:"],
        ["a", "50.0", "70.0"],
        ["b", "60.0", "-"],
    ]
    assert number(float("nan"), 2) == "-"


def test_document_names_its_command_and_holds_all_tables() -> None:
    motion = recovered(40)
    track = make_track(1, range(40))
    seen = [Seen("one", "street", measure(motion, BODY, track))]
    text = document(results(), seen, "fasthmr evaluate ablations x", {"footage": "2 sequences"})
    assert "`fasthmr evaluate ablations x`" in text
    assert "- footage: 2 sequences" in text
    assert by_method(results()) in text
    assert one_figure(results(), "pa_mpjpe") in text
    assert "| street | one |" in text
    assert "Real footage" not in document(results(), [], "x", {})
    assert mean_of([result.figures for result in results()[:2]]).mpjpe == 55
    assert seen[0].to_json()["clip"] == "street"
