# SPDX-License-Identifier: Apache-2.0
"""Figures are taken from a finished job's own files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fasthmr.errors import BadInput
from fasthmr.evaluation.evaluate import as_table, evaluate_job
from fasthmr.people import People
from tests.evaluation.test_without_truth import motion_and_track


@pytest.fixture
def job(tmp_path: Path) -> Path:
    motion, track = motion_and_track(shift_px=5.0)
    folder = tmp_path / "clip.job"
    folder.mkdir()
    motion.save(tmp_path / "clip.person01.npz")
    People(
        tracks=(track,),
        image_size=(1280, 720),
        frame_rate=30.0,
        frame_indices=track.frame_indices,
        timestamps=track.timestamps,
    ).save(folder / "people.npz")
    (folder / "result.json").write_text(json.dumps({"motions": ["clip.person01.npz"], "body": None}))
    return folder


def test_a_row_for_each_person(job: Path) -> None:
    (row,) = evaluate_job(job)
    assert row["clip"] == "clip"
    assert row["person"] == 1
    assert row["reprojection_px"] == pytest.approx(5.0, abs=0.1)


def test_the_table_shows_the_figures(job: Path) -> None:
    lines = as_table(evaluate_job(job)).splitlines()
    assert len(lines) == 3
    assert len({line.count("|") for line in lines}) == 1
    assert lines[2].startswith("| clip | 1 | 40 | 1.00 | 5.0 |")


def test_an_unfinished_job_is_said(tmp_path: Path, job: Path) -> None:
    with pytest.raises(BadInput, match="no finished job"):
        evaluate_job(tmp_path)
    (job / "result.json").write_text("{")
    with pytest.raises(BadInput, match="cannot be read"):
        evaluate_job(job)
