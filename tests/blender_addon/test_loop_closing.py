# SPDX-License-Identifier: GPL-3.0-or-later
"""loop_closing.py: pose and speed meet, and nothing before the span has changed."""

import numpy as np
import pytest
from recover_motion.loop_closing import close_rotations, close_values
from recover_motion.rotations import quat_from_rotvec, quat_inverse, quat_multiply, rotvec_from_quat


def angles(one, other):
    return np.linalg.norm(rotvec_from_quat(quat_multiply(quat_inverse(one), other)), axis=-1)


def walk(seed=0, count=60, size=0.08):
    random = np.random.default_rng(seed)
    turns = quat_from_rotvec(random.normal(0, 1, (24, 3)))
    steps = quat_from_rotvec(np.cumsum(random.normal(0, size, (count, 24, 3)), axis=0) / 3)
    return quat_multiply(turns, steps)


def step_before(steps):
    """The line through the first four steps, one step earlier."""
    flat = steps.reshape(4, -1)
    return np.polynomial.polynomial.polyval(-1, np.polyfit(range(4), flat, 1)[::-1]).reshape(steps.shape[1:])


@pytest.mark.parametrize("span", [2, 7, 20, 55, 500])
def test_rotations_meet_in_pose_and_speed(span):
    quats = walk()
    closed = close_rotations(quats, span)
    assert angles(closed[-1], closed[0]).max() < 1e-7
    last = rotvec_from_quat(quat_multiply(quat_inverse(closed[-2]), closed[-1]))
    first = rotvec_from_quat(quat_multiply(quat_inverse(closed[:4]), closed[1:5]))
    np.testing.assert_allclose(last, step_before(first), atol=1e-9)
    assert angles(closed[:5], quats[:5]).max() < 1e-7


@pytest.mark.parametrize("span", [5, 20])
def test_only_the_span_changes_and_it_begins_smoothly(span):
    quats = walk(1)
    change = angles(close_rotations(quats, span), quats)
    assert change[: -span - 1].max() < 1e-7
    assert change[-span].max() < 4 * change[-1].max() / span  # u^2 (a + b u) with u = 1 / span


def test_a_naive_cubic_for_one_number():
    """The change is the polynomial through 0, with slope 0, and what is missing at the last two frames."""
    values = np.random.default_rng(2).normal(size=(30, 1)).cumsum(axis=0)
    span = 10
    missing = values[0] - values[-1]
    missing_before = values[0] - step_before(np.diff(values[:5], axis=0)) - values[-2]
    powers = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1], [1, 0.9, 0.81, 0.729]])
    cubic = np.linalg.solve(powers, [0, 0, missing[0], missing_before[0]])
    u = np.arange(span + 1) / span
    change = (close_values(values, span) - values)[-span - 1 :, 0]
    np.testing.assert_allclose(change, np.polynomial.polynomial.polyval(u, cubic), atol=1e-12)


def test_travel_is_kept_where_it_should_be():
    values = np.random.default_rng(3).normal(size=(40, 3)).cumsum(axis=0)
    closed = close_values(values, 12, np.array([True, True, False]))
    np.testing.assert_allclose(closed[-1, :2], values[-1, :2])
    np.testing.assert_allclose(closed[-1, 2], values[0, 2])
    np.testing.assert_allclose(closed[-1] - closed[-2], step_before(np.diff(values[:5], axis=0)))


def test_a_motion_that_is_closed_already_stays():
    time = np.linspace(0, 2 * np.pi, 51)
    quats = quat_from_rotvec(np.sin(time)[:, None, None] * np.ones((24, 3)) * 0.4)
    assert angles(close_rotations(quats, 15), quats).max() < 0.01
    circle = np.stack([np.cos(time), np.sin(time)], axis=1)
    assert np.abs(close_values(circle, 15) - circle).max() < 0.02


def test_half_a_turn_apart_does_not_whirl():
    """The ways back from the last two frames lie on different sides of half a turn."""
    angle = np.linspace(0, np.pi + 0.005, 40)
    quats = quat_from_rotvec(angle[:, None, None] * np.array([0.0, 0.0, 1.0]))
    closed = close_rotations(quats, 20)
    steps = angles(closed[1:], closed[:-1])
    assert steps.max() < 0.45  # half a turn in 20 frames, one and a half times that in the middle
    assert angles(closed[-1], closed[0]).max() < 1e-7


@pytest.mark.parametrize("count", [1, 2, 6])
def test_very_short_motions_stay(count):
    quats, values = walk(4, count), np.ones((count, 3))
    np.testing.assert_array_equal(close_rotations(quats, 5), quats)
    np.testing.assert_array_equal(close_values(values, 5), values)
