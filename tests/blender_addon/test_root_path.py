# SPDX-License-Identifier: GPL-3.0-or-later
"""root_path.py: in place and on the floor, against fits by numpy."""

import numpy as np
import pytest
from recover_motion.root_path import in_place, lift_to_floor


@pytest.fixture
def path():
    random = np.random.default_rng(0)
    return np.arange(80)[:, None] * [0.04, -0.01, 0.002] + random.normal(0, 0.02, (80, 3)) + [1, 2, 0.9]


def test_off_changes_nothing(path):
    np.testing.assert_array_equal(in_place(path, "OFF"), path)


def test_full_holds_the_first_place_and_leaves_heights(path):
    held = in_place(path, "FULL")
    np.testing.assert_array_equal(held[:, :2], np.broadcast_to(path[0, :2], (80, 2)))
    np.testing.assert_array_equal(held[:, 2], path[:, 2])


def test_trend_takes_out_the_fitted_slope_only(path):
    steady = in_place(path, "TREND")
    frames = np.arange(80)
    for axis in (0, 1):
        slope = np.polyfit(frames, path[:, axis], 1)[0]
        np.testing.assert_allclose(steady[:, axis], path[:, axis] - slope * frames, atol=1e-12)
        assert np.polyfit(frames, steady[:, axis], 1)[0] == pytest.approx(0, abs=1e-12)
    np.testing.assert_array_equal(steady[:, 2], path[:, 2])
    np.testing.assert_array_equal(steady[0], path[0])


@pytest.mark.parametrize("way", ["OFF", "TREND", "FULL"])
def test_one_frame_and_the_argument_stay(path, way):
    before = path.copy()
    in_place(path, way)
    np.testing.assert_array_equal(path, before)
    np.testing.assert_array_equal(in_place(path[:1], way), path[:1])


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("floor", [0.0, -0.4])
def test_floor_is_at_the_quantile_of_the_lowest_sole(share, floor):
    heights = np.random.default_rng(1).normal(0.3, 0.1, (101, 6))
    lift = lift_to_floor(heights, share, floor)
    lowest = sorted(min(row) for row in heights)
    assert lowest[round(share * 100)] + lift == pytest.approx(floor, abs=1e-12)
