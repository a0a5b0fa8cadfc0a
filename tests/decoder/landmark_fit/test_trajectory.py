# SPDX-License-Identifier: Apache-2.0
"""The smoother against a dense solve, and what it is for: noise, outliers, gaps."""

from __future__ import annotations

import numpy as np

from fasthmr.decoder.landmark_fit import trajectory
from fasthmr.decoder.landmark_fit.trajectory import smooth_trajectory


def uneven_times(count: int, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).uniform(0.02, 0.06, count))


def test_penalty_against_finite_differences() -> None:
    times = uneven_times(9)
    values = np.random.default_rng(1).normal(size=9)
    expected = 0.0
    for k in range(1, 8):
        before = (values[k] - values[k - 1]) / (times[k] - times[k - 1])
        after = (values[k + 1] - values[k]) / (times[k + 1] - times[k])
        expected += ((after - before) / ((times[k + 1] - times[k - 1]) / 2)) ** 2
    bands = trajectory._acceleration_penalty(times)
    dense = np.diag(bands[0])
    for offset in (1, 2):
        dense += np.diag(bands[offset, :-offset], offset) + np.diag(bands[offset, :-offset], -offset)
    np.testing.assert_allclose(values @ dense @ values, expected)


def test_noise_goes_and_motion_stays() -> None:
    times = uneven_times(200)
    truth = np.stack([np.sin(times), 0.3 * np.cos(2 * times)], 1)
    noisy = truth + np.random.default_rng(2).normal(0, 0.05, truth.shape)
    smooth = smooth_trajectory(noisy, times, np.ones(200), 0.05, 2.0)
    assert np.abs(smooth - truth).mean() < 0.35 * np.abs(noisy - truth).mean()


def test_outliers_lose_their_weight() -> None:
    times = np.arange(100) / 30
    truth = np.sin(times)[:, None]
    wild = truth.copy()
    wild[[20, 50, 51]] += 5
    smooth = smooth_trajectory(wild, times, np.ones(100), 0.05, 2.0)
    assert np.abs(smooth - truth).max() < 0.1


def test_a_gap_is_bridged_by_motion_not_by_the_points_in_it() -> None:
    times = np.arange(90) / 30
    truth = np.sin(2 * times)[:, None]
    holed, weights = truth.copy(), np.ones(90)
    holed[40:50], weights[40:50] = 100.0, 0.0
    smooth = smooth_trajectory(holed, times, weights, 0.02, 5.0)
    assert np.abs(smooth - truth).max() < 0.1


def test_straight_motion_is_kept_exactly() -> None:
    times = uneven_times(30)
    line = np.stack([2 * times - 1, -times], 1)
    np.testing.assert_allclose(smooth_trajectory(line, times, np.ones(30), 0.1, 1.0), line, atol=1e-9)


def test_short_and_unseen_trajectories_stay_as_they_are() -> None:
    points = np.random.default_rng(3).normal(size=(5, 2))
    np.testing.assert_array_equal(
        smooth_trajectory(points[:2], np.arange(2.0), np.ones(2), 1.0, 1.0), points[:2]
    )
    np.testing.assert_array_equal(smooth_trajectory(points, np.arange(5.0), np.zeros(5), 1.0, 1.0), points)
