# SPDX-License-Identifier: Apache-2.0
"""Legs that reach: ankles arrive, bones keep their lengths, feet their orientation, knees their side."""

from __future__ import annotations

import numpy as np
import torch

from fasthmr.body.skeleton import INDEX
from fasthmr.placement.figure import Figure
from fasthmr.placement.legs import move_ankles
from tests.decoder.landmark_fit.synthetic import BODY, bent_poses, walk

ANKLES = [INDEX["left_ankle"], INDEX["right_ankle"]]


def moved(rotations: torch.Tensor, moves: np.ndarray) -> tuple[Figure, Figure]:
    figure = Figure(
        rotations.numpy().astype(np.float64), np.zeros((len(rotations), 3)), np.zeros(10, np.float32)
    )
    joints, turns = figure.joints(BODY)
    return figure, Figure(
        move_ankles(figure.rotations, joints, turns, moves), figure.translation, figure.betas
    )


def test_ankles_arrive_and_everything_else_stays() -> None:
    rng = np.random.default_rng(0)
    rotations = bent_poses(200, 0)
    moves = rng.normal(0, 0.01, (200, 2, 3))
    before, after = moved(rotations, moves)
    old, old_turns = before.joints(BODY)
    new, new_turns = after.joints(BODY)
    missed = np.linalg.norm(new[:, ANKLES] - old[:, ANKLES] - moves, axis=-1)
    assert missed.mean() < 0.05 * np.linalg.norm(moves, axis=-1).mean()
    assert missed.max() < 0.005  # legs that would have to stretch give in a little
    np.testing.assert_allclose(new_turns[:, ANKLES], old_turns[:, ANKLES], atol=1e-4)
    above = [joint for joint in range(24) if joint not in (4, 5, 7, 8, 10, 11)]
    np.testing.assert_allclose(new[:, above], old[:, above], atol=1e-5)
    orthogonal = after.rotations @ after.rotations.swapaxes(2, 3)
    np.testing.assert_allclose(orthogonal, np.broadcast_to(np.eye(3), orthogonal.shape), atol=1e-5)


def test_knees_stay_on_their_side_and_near_their_place() -> None:
    rotations = bent_poses(200, 1)
    moves = np.random.default_rng(1).normal(0, 0.01, (200, 2, 3))
    before, after = moved(rotations, moves)
    knees = [INDEX["left_knee"], INDEX["right_knee"]]
    way = after.joints(BODY)[0][:, knees] - before.joints(BODY)[0][:, knees]
    assert np.linalg.norm(way, axis=-1).max() < 0.05


def test_no_move_no_change() -> None:
    rotations = bent_poses(50, 2)
    before, after = moved(rotations, np.zeros((50, 2, 3)))
    np.testing.assert_allclose(after.rotations, before.rotations, atol=2e-4)


def test_a_leg_that_cannot_reach_points_there_and_never_overstretches() -> None:
    rotations = torch.eye(3).expand(1, 24, 3, 3)  # standing straight
    moves = np.array([[[0.0, -0.1, 0.0], [0.0, 0.1, 0.0]]])
    before, after = moved(rotations, moves)
    old, new = before.joints(BODY)[0][0], after.joints(BODY)[0][0]
    assert np.isfinite(new).all()
    assert np.linalg.norm(new[ANKLES[0]] - old[ANKLES[0]]) < 0.02
    np.testing.assert_allclose(new[ANKLES[1]], old[ANKLES[1]] + [0, 0.1, 0], atol=1e-3)
    assert new[INDEX["right_knee"], 2] > old[INDEX["right_knee"], 2] + 0.05  # it bends forward


def test_smooth_moves_make_smooth_legs() -> None:
    rotations, _ = walk(120)
    times = np.arange(120) / 30
    moves = 0.03 * np.sin(2 * times)[:, None, None] * np.ones((1, 2, 3))
    before, after = moved(rotations, moves)
    jerk = [np.linalg.norm(np.diff(one.joints(BODY)[0], 2, axis=0), axis=-1).max() for one in (before, after)]
    assert jerk[1] < 1.3 * jerk[0]
