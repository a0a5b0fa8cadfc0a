# SPDX-License-Identifier: GPL-3.0-or-later
"""resample.py: clip rates to scene rates, constant and variable, against motions known at every time."""

import numpy as np
import pytest
from recover_motion.resample import sample_at_scene_frames
from recover_motion.rotations import matrix_from_quat, quat_from_rotvec
from smpl_reference import rotation

AXIS = np.array([1.0, -2.0, 0.5])


def turning(times: np.ndarray) -> np.ndarray:
    """Two joints that turn at constant speed: slerp between any two samples is exact."""
    return quat_from_rotvec(times[:, None, None] * np.array([AXIS, -2 * AXIS]))


@pytest.mark.parametrize(
    ("clip_rate", "scene_rate"),
    [(30, 24), (24, 60), (30, 30), (29.97002997, 30), (24, 24 / 1.001), (60, 24), (5, 60), (120, 30)],
)
def test_motion_at_scene_frames_is_the_motion_at_that_time(clip_rate, scene_rate):
    times = np.arange(41) / clip_rate
    sampling = sample_at_scene_frames(times, scene_rate, start_frame=101)
    expected_times = np.clip((sampling.frames - 101) / scene_rate, 0, times[-1])
    expected = [[rotation(t * AXIS), rotation(t * -2 * AXIS)] for t in expected_times]
    np.testing.assert_allclose(matrix_from_quat(sampling.rotations(turning(times))), expected, atol=1e-4)
    np.testing.assert_allclose(sampling.values(times), expected_times, atol=1e-4)
    assert sampling.frames[0] == 101
    assert abs(sampling.frames[-1] - 101 - times[-1] * scene_rate) <= 0.5
    np.testing.assert_array_equal(np.diff(sampling.frames), 1)


def test_equal_rates_take_the_samples_as_they_are():
    times = np.round(np.arange(500) / 30, 3)  # as a container with milliseconds stores them
    times[0] = 0
    exact = sample_at_scene_frames(np.arange(500) / 30, 30, 1)
    np.testing.assert_array_equal(exact.before, np.arange(500))
    np.testing.assert_array_equal(exact.weight, 0)
    assert len(sample_at_scene_frames(times, 30, 1).frames) == 500


def test_variable_rate_follows_the_time_stamps():
    random = np.random.default_rng(6)
    times = np.cumsum(random.uniform(0.008, 0.09, 60))
    sampling = sample_at_scene_frames(times, 24, start_frame=-7)
    expected = np.clip((sampling.frames + 7) / 24, times[0], times[-1])
    np.testing.assert_allclose(sampling.values(times), expected, atol=1e-4)
    np.testing.assert_allclose(
        matrix_from_quat(sampling.rotations(turning(times)))[:, 0],
        [rotation(t * AXIS) for t in expected],
        atol=1e-4,
    )


def test_a_person_who_comes_late_starts_late():
    sampling = sample_at_scene_frames(2.0 + np.arange(10) / 25, 25, start_frame=1)
    assert sampling.frames[0] == 51
    assert sampling.frames[-1] == 60


def test_a_single_sample_gets_one_frame():
    for time in (0.0, 0.51, 0.02):
        sampling = sample_at_scene_frames(np.array([time]), 25, start_frame=10)
        assert len(sampling.frames) == 1
        assert abs(sampling.frames[0] - (10 + time * 25)) <= 0.5
        np.testing.assert_array_equal(sampling.values(np.array([[3.0, 4.0]])), [[3.0, 4.0]])


def test_numbers_of_any_shape():
    times = np.arange(4) / 10
    values = np.random.default_rng(7).normal(size=(4, 2, 3))
    sampled = sample_at_scene_frames(times, 20, 0).values(values)
    np.testing.assert_allclose(sampled[1], (values[0] + values[1]) / 2)
    np.testing.assert_allclose(sampled[::2], values)
