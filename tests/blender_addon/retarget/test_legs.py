# SPDX-License-Identifier: GPL-3.0-or-later
"""legs.py: where the points under the soles are."""

import numpy as np
import pytest
from recover_motion.retarget.legs import LegMotion, rolling_soles, sole_points
from recover_motion.rotations import matrix_from_quat, quat_from_rotvec
from walking_legs import Figure


@pytest.mark.parametrize("has_toes", [True, False])
def test_points_under_the_soles(has_toes):
    random = np.random.default_rng(0)
    foot, toe = quat_from_rotvec(random.normal(0, 0.5, (2, 7, 2, 3)))
    places = random.normal(size=(3, 7, 2, 3))
    motion = LegMotion(*places, foot, foot, foot, toe, has_toes)
    soles = Figure(has_toes=has_toes).soles
    points = sole_points(motion, soles)
    for frame in range(7):
        for side in (0, 1):
            turn, toes = matrix_from_quat(foot[frame, side]), matrix_from_quat(toe[frame, side])
            ankle = places[2, frame, side]
            joint = ankle + turn @ soles.ball_joint[side]
            heel = ankle + turn @ soles.heel[side]
            if has_toes:
                ball, tip = (
                    joint + toes @ (soles.ball - soles.ball_joint)[side],
                    joint + toes @ soles.toe[side],
                )
            else:
                ball, tip = ankle + turn @ soles.ball[side], ankle + turn @ soles.toe[side]
            np.testing.assert_allclose(points[frame, side], [heel, ball, tip], atol=1e-12)


def test_a_stiff_foot_rolls_over_its_tip():
    soles = Figure(has_toes=False).soles
    rolling = rolling_soles(soles, has_toes=False)
    np.testing.assert_array_equal(rolling.ball, soles.toe)
    assert rolling_soles(soles, has_toes=True) is soles


def test_moved():
    places, turns = np.zeros((3, 4, 2, 3)), np.zeros((4, 4, 2, 4))
    way = np.arange(12.0).reshape(4, 3)
    moved = LegMotion(*places, *turns).moved(way)
    for each in (moved.hip, moved.knee, moved.ankle):
        np.testing.assert_array_equal(each, np.stack([way, way], axis=1))
    assert moved.thigh is not None
