# SPDX-License-Identifier: Apache-2.0
"""Relaxed hands, and toes that lie on the floor."""

from __future__ import annotations

import math

import numpy as np
import pytest
import roma
import torch

from fasthmr.body.skeleton import INDEX
from fasthmr.placement.figure import Figure
from fasthmr.placement.hands_and_feet import flatten_toes, relax_hands
from tests.decoder.landmark_fit.synthetic import BODY

IDENTITY = np.tile(np.eye(3), (5, 24, 1, 1))


def turn(x: float = 0.0, y: float = 0.0, z: float = 0.0) -> np.ndarray:
    return roma.rotvec_to_rotmat(torch.tensor([x, y, z], dtype=torch.float64)).numpy()


def test_fingers_bend_toward_the_palm_and_no_joint_moves() -> None:
    rotations = relax_hands(IDENTITY)
    shape = torch.zeros(10)
    flat, _ = BODY.vertices(torch.from_numpy(IDENTITY[:1]).float(), shape)
    bent, joints = BODY.vertices(torch.from_numpy(rotations[:1]).float(), shape)
    torch.testing.assert_close(joints, BODY.vertices(torch.from_numpy(IDENTITY[:1]).float(), shape)[1])
    for side, sign in (("left", 1), ("right", -1)):
        fingertip = (sign * flat[0, :, 0]).argmax()
        way = (bent - flat)[0, fingertip]
        assert way[1] < -0.01, side  # down, where the palm faces
        assert abs(way[2]) < 0.01


def test_an_estimated_hand_is_left_alone() -> None:
    rotations = IDENTITY.copy()
    rotations[:, INDEX["left_hand"]] = turn(z=0.5)
    found = relax_hands(rotations)
    np.testing.assert_array_equal(found[:, INDEX["left_hand"]], rotations[:, INDEX["left_hand"]])
    assert not np.allclose(found[:, INDEX["right_hand"]], np.eye(3))


@pytest.mark.parametrize("degrees", [-30, 0, 25, 50])
def test_toes_lie_level_when_the_heel_is_lifted(degrees: float) -> None:
    rotations = IDENTITY.copy()
    rotations[:, 0] = turn(x=math.pi / 2)  # body up is the world's z
    for side in ("left", "right"):
        rotations[:, INDEX[f"{side}_ankle"]] = turn(x=math.radians(degrees), y=0.3)
    figure = Figure(rotations, np.zeros((5, 3)), np.zeros(10, np.float32))
    joints, turns = figure.joints(BODY)
    planted = np.array([[1.0, 0.0]] * 5)
    flat = Figure(flatten_toes(rotations, turns, planted), figure.translation, figure.betas)
    new_joints, new_turns = flat.joints(BODY)
    np.testing.assert_allclose(new_joints, joints, atol=1e-5)
    rise = new_turns[:, INDEX["left_foot"], 2, 2]  # height of the toes' forward direction
    if degrees >= 0:
        np.testing.assert_allclose(rise, 0, atol=1e-5)
    else:  # the toes point up: they bend down only a little
        assert rise[0] == pytest.approx(math.sin(math.radians(-degrees) - 0.25), abs=0.03)
    np.testing.assert_allclose(new_turns[:, INDEX["right_foot"]], turns[:, INDEX["right_foot"]], atol=1e-6)


def test_a_foot_that_lies_on_its_side_keeps_its_toes() -> None:
    rotations = IDENTITY.copy()
    rotations[:, 0] = turn(y=math.pi / 2)  # the body lies
    _, turns = Figure(rotations, np.zeros((5, 3)), np.zeros(10, np.float32)).joints(BODY)
    np.testing.assert_allclose(flatten_toes(rotations, turns, np.ones((5, 2))), rotations, atol=1e-9)
