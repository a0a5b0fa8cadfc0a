# SPDX-License-Identifier: Apache-2.0
"""Poses come back from the joints of another skeleton."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.body.skeleton import INDEX
from fasthmr.training.mocap.calibrate import Calibration
from fasthmr.training.mocap.fit_skeleton import fit_skeleton
from fasthmr.training.mocap.pose_solver import place_points

from .synthetic_motion import TrueMotion, anchors_of, angles, true_motion


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def cmu_clips(body: BodyModel) -> list[TrueMotion]:
    return [true_motion(body, anchors_of("cmu_asf"), 240, seed) for seed in range(3)]


def test_poses_come_back_from_a_known_skeleton(body: BodyModel, cmu_clips: list[TrueMotion]) -> None:
    truth = cmu_clips[0]
    known = Calibration(anchors_of("cmu_asf"), truth.betas.numpy(), truth.points.offsets.numpy())
    fit = fit_skeleton(truth.seen, known, body)
    assert np.median(fit.errors) < 0.004
    off = np.median(angles(fit.rotations, truth.rotations), axis=0)
    for name in ("pelvis", "left_hip", "right_hip", "left_knee", "right_knee"):
        assert off[INDEX[name]] < 5, name
    assert off.max() < 16
    np.testing.assert_allclose(fit.pelvis, truth.pelvis.numpy(), atol=0.02)


def test_twist_of_a_straight_arm_stays_near_rest(body: BodyModel) -> None:
    """Nothing but the wrist shows how the arm turns: it must not spin."""
    anchors = tuple(a for a in anchors_of("deepmimic") if "hand" not in a.place)
    still = true_motion(body, anchors, 30, 3, shift=0.0)
    rotations = torch.eye(3).repeat(30, 24, 1, 1)
    rotations[:, 0] = still.rotations[:, 0]
    rest = body.rest_joints(still.betas)
    seen, _, _ = place_points(rest, still.points, rotations, still.pelvis)
    known = Calibration(anchors, still.betas.numpy(), still.points.offsets.numpy())
    noise = 0.002 * np.random.default_rng(0).normal(size=seen.shape).astype(np.float32)
    fit = fit_skeleton(seen.numpy() + noise, known, body)
    assert angles(fit.rotations, rotations)[:, 1:].max() < 12


def test_a_mirrored_clip_gives_mirrored_poses(body: BodyModel) -> None:
    anchors = anchors_of("cmu_asf")
    truth = true_motion(body, anchors, 60, 5, shift=0.0)
    known = Calibration(anchors, truth.betas.numpy(), truth.points.offsets.numpy())
    plain = fit_skeleton(truth.seen, known, body)
    twin = [
        next(
            j
            for j, b in enumerate(anchors)
            if b.carrier == swapped(a.carrier)
            and b.place == swapped(a.place)
            and abs(b.shift[0] + a.shift[0]) < 1e-9
            and b.shift[1:] == a.shift[1:]
        )
        for a in anchors
    ]
    mirror = np.diag([-1.0, 1.0, 1.0]).astype(np.float32)
    other = fit_skeleton(truth.seen[:, twin] @ mirror, known, body)
    for joint in range(1, 22):
        name = list(INDEX)[joint]
        partner = INDEX[swapped(name)]
        flipped = mirror @ other.rotations[:, partner] @ mirror
        assert np.median(angles(flipped, torch.from_numpy(plain.rotations[:, joint]))) < 1.0, name


def swapped(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name[5:]
    return "left_" + name[6:] if name.startswith("right_") else name


def test_bad_numbers_are_refused(body: BodyModel, cmu_clips: list[TrueMotion]) -> None:
    truth = cmu_clips[0]
    known = Calibration(anchors_of("cmu_asf"), truth.betas.numpy(), truth.points.offsets.numpy())
    broken = truth.seen.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="finite"):
        fit_skeleton(broken, known, body)
    with pytest.raises(ValueError, match="calibration"):
        fit_skeleton(truth.seen[:, :5], known, body)
