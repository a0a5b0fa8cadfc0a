# SPDX-License-Identifier: Apache-2.0
"""Figures without truth, on motions whose figures are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from fasthmr.evaluation.without_truth import count_flips, foot_sliding_mm, measure
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.motion import Motion
from fasthmr.people import Track
from fasthmr.placement import place
from tests.decoder.landmark_fit.synthetic import BODY, evidence_of, walk


def motion_and_track(shift_px: float = 0.0) -> tuple[Motion, Track]:
    rotations, pelvis = walk(40)
    evidence, joints = evidence_of(rotations, pelvis, torch.zeros(10))
    rest_pelvis = BODY.rest_joints(torch.zeros(10))[0]
    estimate = BodyEstimate(
        rotations=rotations.numpy(),
        betas=np.zeros(10, np.float32),
        translation=(pelvis - rest_pelvis).numpy(),
        joints=joints.astype(np.float32),
        confidence=np.ones((40, 24), np.float32),
    )
    return place([estimate], [evidence], BODY, {})[0], track_of(evidence, shift_px)


def track_of(evidence: Evidence, shift_px: float) -> Track:
    image = evidence.landmarks_image.copy()
    image[..., 0] += shift_px
    return Track(
        person=1,
        shot=0,
        frame_indices=evidence.frame_indices.astype(np.int64),
        timestamps=evidence.timestamps.astype(np.float64),
        boxes=evidence.boxes.astype(np.float32),
        landmarks_image=image,
        landmarks_world=evidence.landmarks_world.astype(np.float32),
        visibility=evidence.visibility,
        masks=(None,) * evidence.frame_count,
    )


def test_a_perfect_motion_has_no_error() -> None:
    figures = measure(*_with_body(motion_and_track()))
    assert figures.reprojection_px < 0.1
    assert figures.bone_length_spread < 0.01
    assert figures.coverage == 1
    assert figures.flips == figures.explosions == 0


def _with_body(pair: tuple[Motion, Track]) -> tuple[Motion, object, Track]:
    return pair[0], BODY, pair[1]


def test_a_known_shift_is_measured() -> None:
    motion, track = motion_and_track(shift_px=7.0)
    figures = measure(motion, BODY, track)
    assert figures.reprojection_px == pytest.approx(7.0, abs=0.1)
    heights = track.boxes[:, 3] - track.boxes[:, 1]
    assert figures.reprojection_share == pytest.approx(100 * np.median(7.0 / heights), rel=0.1)


def test_jitter_and_acceleration_of_a_swinging_body() -> None:
    """A body that swings as one along x: derivatives of a sine are known."""
    motion, track = motion_and_track()
    times = np.arange(40) / 30
    trans = np.repeat(motion.trans[:1], 40, axis=0)
    trans[:, 0] += 0.1 * np.sin(2 * np.pi * times)
    still = replace(motion, poses=np.repeat(motion.poses[:1], 40, axis=0), trans=trans)
    figures = measure(still, BODY, track)
    omega = 2 * np.pi
    mean_of_sine = 2 / np.pi
    assert figures.acceleration == pytest.approx(0.1 * omega**2 * mean_of_sine, rel=0.05)
    assert figures.jitter == pytest.approx(0.1 * omega**3 * mean_of_sine / 10, rel=0.05)


def test_foot_sliding_counts_standing_soles_only() -> None:
    soles = np.zeros((3, 4, 3))
    soles[1:, 0, 0] = 0.004
    soles[2, 1, 2] = 1.0
    contacts = np.ones((3, 4))
    contacts[:, 1] = 0
    # three soles stand in both steps; one of six steps is 4 mm
    assert foot_sliding_mm(soles, contacts) == pytest.approx(4 / 6)
    assert np.isnan(foot_sliding_mm(soles, np.zeros((3, 4))))


def test_flips_are_counted() -> None:
    turns = torch.zeros(10, 3)
    turns[5:, 1] = np.pi
    orientation = roma.rotvec_to_rotmat(turns).numpy()
    times = np.arange(10) / 30
    assert count_flips(orientation, times) == 1
    turns[:, 1] = torch.linspace(0, np.pi, 10)
    assert count_flips(roma.rotvec_to_rotmat(turns).numpy(), times) == 0


def test_an_exploded_body_is_counted() -> None:
    motion, track = motion_and_track()
    far = replace(motion, betas=np.array([60.0] + 9 * [0.0]))
    assert measure(far, BODY, track).explosions > 0
