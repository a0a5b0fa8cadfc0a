# SPDX-License-Identifier: Apache-2.0
"""Every kind of damage is found, and sound motion is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from fasthmr.training.mocap.fit_skeleton import FittedMotion
from fasthmr.training.mocap.quality import (
    REASONS,
    Broken,
    as_table,
    check_fit,
    check_source,
    sound_spans,
    total_seconds,
)
from fasthmr.training.mocap.source_motion import SourceMotion


def moving(count: int = 240, rate: float = 120.0) -> SourceMotion:
    """Three joints of one rigid chain that turn and walk."""
    seconds = np.arange(count) / rate
    root = np.stack([1.2 * seconds, 0 * seconds, 1 + 0.02 * np.sin(9 * seconds)], -1)
    arm = 0.3 * np.stack([np.cos(6 * seconds), np.sin(6 * seconds), 0 * seconds], -1)
    positions = np.stack([root, root + arm, root + 2 * arm], 1)
    return SourceMotion(
        "clip", "cmu_asf", rate, ("a", "b", "c"), np.array([-1, 0, 1]), positions.astype(np.float32)
    )


def found(source: SourceMotion) -> dict[str, list[tuple[float, float]]]:
    _, broken = check_source(source)
    reasons: dict[str, list[tuple[float, float]]] = {}
    for row in broken:
        reasons.setdefault(row.reason, []).append((row.start, row.end))
    return reasons


def test_sound_motion_is_left_alone() -> None:
    sound, broken = check_source(moving())
    assert sound.all()
    assert broken == []


def test_first_frame_in_a_t_pose_is_cut_off() -> None:
    source = moving()
    source.positions[0] += (0.0, 0.8, 0.2)
    sound, broken = check_source(source)
    assert [row.reason for row in broken] == ["jump"]
    assert not sound[0]
    assert sound[1:].all()


def test_a_teleport_cuts_the_clip_in_two() -> None:
    source = moving()
    source.positions[100:] += (0.0, 3.0, 0.0)
    sound, _ = check_source(source)
    kept, _ = sound_spans("clip", sound)
    assert kept == [(0, 99), (100, 240)]


def test_a_spike_is_cut_out() -> None:
    source = moving()
    source.positions[60, 2] += 0.5
    source = replace(source, parents=np.array([-1, 0, 0]))
    sound, _ = check_source(source)
    assert not sound[60]
    assert sound[62:].all()


def test_bones_and_numbers() -> None:
    source = moving()
    source.positions[20:30, 2] *= 1.0
    source.positions[20:30, 2] += 0.5 * (source.positions[20:30, 2] - source.positions[20:30, 1])
    source.positions[200, 1, 0] = np.nan
    reasons = found(source)
    assert reasons["bone"] == [(pytest.approx(20 / 120), pytest.approx(30 / 120))]
    assert reasons["not finite"] == [(pytest.approx(200 / 120), pytest.approx(201 / 120))]


def fitted(count: int = 60) -> tuple[np.ndarray, FittedMotion]:
    seen = np.zeros((count, 5, 3), np.float32)
    seen[..., 0] = 0.02 * np.arange(count)[:, None]
    rotations = np.tile(np.eye(3, dtype=np.float32), (count, 24, 1, 1))
    return seen, FittedMotion(
        rotations, seen[:, 0].copy(), np.zeros(10, np.float32), np.full((count, 5), 0.01, np.float32)
    )


def test_fits_are_checked() -> None:
    seen, fit = fitted()
    sound, broken = check_fit("clip", seen, fit)
    assert sound.all()
    assert not broken
    fit.errors[10:20] = 0.2
    fit.rotations[40, 5] = roma.rotvec_to_rotmat(torch.tensor([0.0, 2.5, 0.0])).numpy()
    seen[30, 2] += 1.0
    sound, broken = check_fit("clip", seen, fit)
    assert {row.reason for row in broken} == {"fit", "turn", "acceleration"}
    assert not sound[8:22].any()
    assert not sound[[30, 40]].any()
    assert sound[:8].all()


def test_short_rests_are_reported() -> None:
    sound = np.ones(100, bool)
    sound[[5, 60]] = False
    kept, short = sound_spans("clip", sound)
    assert kept == [(6, 60), (61, 100)]
    assert [row.reason for row in short] == ["short"]


def test_the_table_tells_everything() -> None:
    rows = [
        Broken("a/1", 0.0, 0.5, "jump", "3 m"),
        Broken("b", 1.0, 2.0, "fit"),
        Broken("c", 0.0, 0.25, "jump"),
    ]
    table = as_table(rows)
    assert "jump              2      0.8" in table or "jump              2      0.7" in table
    assert "a/1" in table
    assert total_seconds(rows) == {"jump": 0.75, "fit": 1.0}
    assert all(row.reason in REASONS for row in rows)
