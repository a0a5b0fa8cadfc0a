# SPDX-License-Identifier: GPL-3.0-or-later
"""smoothing.py: against lines fitted one by one, and against what its docstrings promise."""

import numpy as np
import pytest
from recover_motion.rotations import quat_from_rotvec, quat_inverse, quat_multiply, rotvec_from_quat
from recover_motion.smoothing import smooth_rotations, smooth_values

FPS = 30.0
SIGMA = 0.24942  # of the bell, for a strength of one


def naive(values, seconds, fps):
    """A weighted line through each frame's neighbours, and the same of what is left."""

    def lines(of):
        sigma, heights = seconds * SIGMA * fps, np.empty_like(of)
        reach = int(np.ceil(4 * sigma))
        for here in range(len(of)):
            near = np.arange(max(here - reach, 0), min(here + reach + 1, len(of)))
            root_weight = np.exp(-0.25 * ((near - here) / sigma) ** 2)
            for column in range(of.shape[1]):
                heights[here, column] = np.polyfit(near - here, of[near, column], 1, w=root_weight)[1]
        return heights

    once = lines(values)
    return once + lines(values - once)


def angles(one, other):
    return np.linalg.norm(rotvec_from_quat(quat_multiply(quat_inverse(one), other)), axis=-1)


def gain(period, seconds):
    """How much is left of a swing, in the middle of a long clip."""
    time = np.arange(901) / FPS
    swing = np.cos(2 * np.pi * (time - time[450]) / period)
    return smooth_values(swing, seconds, FPS)[450]


@pytest.mark.parametrize("count", [3, 5, 17, 40, 41, 90])
@pytest.mark.parametrize("seconds", [0.15, 0.6, 2.0])
def test_it_is_lines_fitted_one_by_one(count, seconds):
    values = np.random.default_rng(count).normal(size=(count, 3))
    np.testing.assert_allclose(
        smooth_values(values, seconds, FPS), naive(values, seconds, FPS), atol=2e-5 * np.abs(values).max()
    )


@pytest.mark.parametrize(("periods", "left"), [(0.5, 0.015), (1, 0.5), (2, 0.93), (3, 0.98)])
@pytest.mark.parametrize("seconds", [0.4, 1.0])
def test_strength_says_what_is_left_of_a_swing(periods, left, seconds):
    assert gain(periods * seconds, seconds) == pytest.approx(left, abs=0.006)


def test_a_parabola_stays_and_a_step_swings_over_by_three_per_cent():
    time = np.arange(200.0)
    parabola = 0.01 * (time - 90) ** 2 - time
    inside = slice(30, -30)
    np.testing.assert_allclose(smooth_values(parabola, 0.5, FPS)[inside], parabola[inside], atol=0.02)
    step = smooth_values(np.where(time < 100, 0.0, 1.0), 0.5, FPS)
    assert step.max() == pytest.approx(1.033, abs=0.003)
    assert step.min() == pytest.approx(-0.033, abs=0.003)


def test_nothing_comes_later_or_earlier():
    values = np.random.default_rng(3).normal(size=(120, 4))
    forwards = smooth_values(values, 0.5, FPS)
    np.testing.assert_allclose(smooth_values(values[::-1], 0.5, FPS)[::-1], forwards, atol=1e-9)


def test_a_line_stays_to_its_ends():
    line = np.linspace(3, -2, 50)[:, None] * [1.0, 10.0]
    np.testing.assert_allclose(smooth_values(line, 1.0, FPS), line, atol=1e-9)


def test_noise_shrinks_at_the_ends_too():
    random = np.random.default_rng(0)
    noise = random.normal(size=(60, 400))
    left = smooth_values(noise, 1.0, FPS).std(axis=1)
    assert left[30] < 0.35
    assert left[0] < 0.8


def test_strength_0_and_short_clips_stay():
    values = np.random.default_rng(1).normal(size=(30, 2))
    np.testing.assert_array_equal(smooth_values(values, 0.0, FPS), values)
    for count in (1, 2):
        np.testing.assert_array_equal(smooth_values(values[:count], 1.0, FPS), values[:count])


def test_rotations_do_not_care_which_sign_they_are_written_with():
    random = np.random.default_rng(5)
    quats = quat_from_rotvec(np.cumsum(random.normal(0, 0.1, (80, 3, 3)), axis=0))
    signs = random.choice([-1.0, 1.0], (80, 3, 1))
    one, other = smooth_rotations(quats, 0.4, FPS), smooth_rotations(quats * signs, 0.4, FPS)
    assert angles(one, other).max() < 1e-6
    assert np.sum(other[1:] * other[:-1], axis=-1).min() > 0
    np.testing.assert_allclose(np.linalg.norm(other, axis=-1), 1)


def test_a_steady_spin_stays_however_often_it_goes_around():
    time = np.arange(150) / FPS
    spin = quat_from_rotvec(time[:, None] * 2 * np.pi * np.array([0.6, 0.0, 0.8]))  # one turn a second
    inside = slice(40, -40)
    assert angles(smooth_rotations(spin, 0.5, FPS), spin)[inside].max() < 1e-6


def test_small_turns_are_smoothed_like_their_vectors():
    vectors = np.random.default_rng(9).normal(0, 0.01, (100, 2, 3))
    smooth = rotvec_from_quat(smooth_rotations(quat_from_rotvec(vectors), 0.5, FPS))
    np.testing.assert_allclose(smooth, smooth_values(vectors, 0.5, FPS), atol=2e-6)


def test_a_joint_without_a_mean_is_left_alone():
    quats = np.tile([[1.0, 0, 0, 0], [0, 1.0, 0, 0]], (40, 1))
    smooth = smooth_rotations(quats, 0.5, FPS)
    assert np.isfinite(smooth).all()
    np.testing.assert_allclose(np.linalg.norm(smooth, axis=-1), 1)
