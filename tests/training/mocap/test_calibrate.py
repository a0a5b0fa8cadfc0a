# SPDX-License-Identifier: Apache-2.0
"""What is constant for a skeleton is found: shape, places of joints, level feet."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.body.skeleton import INDEX
from fasthmr.training.mocap.calibrate import (
    Calibration,
    _evenly,
    _planted,
    anchor_positions,
    calibrate,
    fit_shape,
)
from fasthmr.training.mocap.fit_skeleton import fit_skeleton
from fasthmr.training.mocap.joint_maps import Anchor

from .synthetic_motion import TrueMotion, anchors_of, angles, true_motion


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def cmu_clips(body: BodyModel) -> list[TrueMotion]:
    return [true_motion(body, anchors_of("cmu_asf"), 240, seed) for seed in range(3)]


def test_an_unknown_skeleton_is_calibrated(body: BodyModel, cmu_clips: list[TrueMotion]) -> None:
    found = calibrate(anchors_of("cmu_asf"), [clip.seen for clip in cmu_clips], body)
    assert found.betas[0] == pytest.approx(0.7, abs=0.3)
    fit = fit_skeleton(cmu_clips[1].seen, found, body)
    assert np.median(fit.errors) < 0.006
    assert np.median(angles(fit.rotations, cmu_clips[1].rotations)[:, INDEX["left_knee"]]) < 5


def test_the_shape_is_that_of_the_bones(body: BodyModel) -> None:
    """Bones of another body are met to some millimetres, whatever its pose."""
    for seed in range(3):
        betas = 0.7 * torch.from_numpy(np.random.default_rng(seed).normal(size=10)).float()
        rest = body.rest_joints(betas)
        anchors = [Anchor((name,), name, name) for name in INDEX]
        found = body.rest_joints(torch.from_numpy(fit_shape(anchors, [rest.numpy()[None]], body)))
        for a, b in (
            ("left_hip", "left_knee"),
            ("left_knee", "left_ankle"),
            ("left_shoulder", "left_elbow"),
            ("left_elbow", "left_wrist"),
        ):
            wanted, got = ((one[INDEX[a]] - one[INDEX[b]]).norm() for one in (rest, found))
            assert abs(wanted - got) < 0.012, (seed, a)


def test_a_skeleton_without_a_needed_joint_has_no_shape(body: BodyModel) -> None:
    anchors = [Anchor((name,), name, name) for name in INDEX if name != "left_knee"]
    with pytest.raises(ValueError, match="left_knee"):
        fit_shape(anchors, [np.zeros((1, 23, 3))], body)


def test_an_anchor_is_the_mean_of_its_joints() -> None:
    positions = np.random.default_rng(0).normal(size=(4, 3, 3))
    anchors = (Anchor(("c",), "head", "head"), Anchor(("a", "c"), "neck", "neck"))
    found = anchor_positions(anchors, ("a", "b", "c"), positions)
    np.testing.assert_allclose(found[:, 0], positions[:, 2], atol=1e-6)
    np.testing.assert_allclose(found[:, 1], (positions[:, 0] + positions[:, 2]) / 2, atol=1e-6)


def test_points_weigh_as_well_as_they_are_known() -> None:
    anchors = (Anchor(("a",), "head", "head", deviation=0.02), Anchor(("b",), "left_knee", "left_knee"))
    offsets = np.ones((2, 3), np.float32)
    points = Calibration(anchors, np.zeros(10, np.float32), offsets).points()
    assert points.carriers.tolist() == [INDEX["head"], INDEX["left_knee"]]
    np.testing.assert_allclose(points.weights, [50, 100])


def test_frames_are_taken_evenly_from_all_clips() -> None:
    clips = [np.full((30, 2, 3), 1.0), np.full((60, 2, 3), 2.0)]
    chosen = _evenly(clips, 9)
    assert (chosen[:, 0, 0] == 1).sum() == 3
    assert len(_evenly(clips, 1000)) == 90


def test_feet_are_planted_while_they_rest_low() -> None:
    feet = np.zeros((90, 2, 3))
    feet[:, 0, 2] = 0.08
    feet[30:60, :, 0] += 0.02 * np.arange(30)[:, None]  # slides at 0.6 m/s
    feet[60:, :, 0] += 0.6
    feet[75:, :, 2] += 0.3  # rests on a step
    planted = _planted(feet)
    assert planted[:28].all()
    assert not planted[31:59].any()
    assert planted[62:73].all()
    assert not planted[76:].any()
    assert not _planted(feet[:2]).any()
