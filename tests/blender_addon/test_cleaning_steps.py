# SPDX-License-Identifier: GPL-3.0-or-later
"""cleaning_steps.py: each step does what its module says, and together they keep their promises."""

import numpy as np
import pytest
from recover_motion.cleaning_steps import BoneMotion, CleaningSteps, clean_motion, trimmed
from recover_motion.leg_pose import pose_legs, sole_heights
from recover_motion.rotations import quat_inverse, quat_multiply, rotvec_from_quat
from recover_motion.smoothing import smooth_values
from test_planted_feet import FPS, walk


@pytest.fixture
def rest():
    return walk()[0]


@pytest.fixture
def motion(rest):
    _, turns, pelvis, _ = walk(jitter=0.004)
    return BoneMotion(np.arange(11, 191), rest.bone_quats(turns), rest.locations(pelvis))


def angles(one, other):
    return np.linalg.norm(rotvec_from_quat(quat_multiply(quat_inverse(one), other)), axis=-1)


def test_the_defaults_do_nothing(rest, motion):
    same = clean_motion(motion, rest, CleaningSteps(), FPS)
    np.testing.assert_array_equal(same.frames, motion.frames)
    assert angles(same.quats, motion.quats).max() < 1e-7
    np.testing.assert_allclose(same.locations, motion.locations, atol=1e-12)


@pytest.mark.parametrize(
    ("start", "end", "frames"),
    [
        (0, 0, (11, 190)),
        (20, 5, (31, 185)),
        (-3, -1, (11, 190)),
        (500, 0, (190, 190)),
        (0, 500, (11, 11)),
        (100, 100, (111, 111)),
    ],
)
def test_trimming_keeps_frame_numbers_and_at_least_one(motion, start, end, frames):
    left = trimmed(motion, start, end)
    assert (left.frames[0], left.frames[-1]) == frames
    assert len(left.quats) == len(left.locations) == len(left.frames)
    np.testing.assert_array_equal(left.quats[0], motion.quats[left.frames[0] - 11])


def test_smoothing_the_path_is_smoothing_in_space(rest, motion):
    smooth = clean_motion(motion, rest, CleaningSteps(smooth=0.3, keep_feet=False), FPS)
    pelvis = smooth_values(rest.pelvis(motion.locations), 0.3, FPS)
    np.testing.assert_allclose(rest.pelvis(smooth.locations), pelvis, atol=1e-9)
    kept = clean_motion(motion, rest, CleaningSteps(smooth=0.3), FPS)
    legs = [1, 2, 4, 5, 7, 8]
    others = np.setdiff1d(np.arange(24), legs)
    assert angles(kept.quats, smooth.quats)[:, others].max() < 1e-7
    assert angles(kept.quats, smooth.quats)[:, legs].max() > 1e-3


@pytest.mark.parametrize("floor", [0.0, 0.25])
def test_the_lowest_sole_is_on_the_floor_after_everything(rest, motion, floor):
    steps = CleaningSteps(5, 8, smooth=0.2, in_place="TREND", loop_span=20, floor=floor, share_below=0.0)
    cleaned = clean_motion(motion, rest, steps, FPS)
    pose = pose_legs(rest, rest.turns(cleaned.quats), rest.pelvis(cleaned.locations))
    assert sole_heights(rest, pose).min() == pytest.approx(floor, abs=1e-9)


@pytest.mark.parametrize("in_place", ["OFF", "TREND", "FULL"])
@pytest.mark.parametrize("travels", [True, False])
def test_loops_meet_and_travel_only_where_they_should(rest, motion, in_place, travels):
    steps = CleaningSteps(smooth=0.2, in_place=in_place, loop_span=20, loop_travels=travels)
    cleaned = clean_motion(motion, rest, steps, FPS)
    assert angles(cleaned.quats[-1], cleaned.quats[0]).max() < 1e-6
    gap = rest.pelvis(cleaned.locations[[0, -1]])
    gap = gap[1] - gap[0]
    assert gap[2] == pytest.approx(0, abs=1e-9)
    if in_place == "OFF" and travels:
        assert gap[1] == pytest.approx(-3, abs=0.1)  # six steps of half a metre, forwards
    else:
        np.testing.assert_allclose(gap, 0, atol=1e-9)


def test_the_source_is_not_changed(rest, motion):
    before = motion.quats.copy(), motion.locations.copy()
    clean_motion(motion, rest, CleaningSteps(3, 3, 0.3, True, "FULL", 10, True, 0.0), FPS)
    np.testing.assert_array_equal(motion.quats, before[0])
    np.testing.assert_array_equal(motion.locations, before[1])


@pytest.mark.parametrize("count", [1, 2, 6, 7])
def test_very_short_motions_go_through(rest, motion, count):
    short = trimmed(motion, 0, 180 - count)
    cleaned = clean_motion(
        short, rest, CleaningSteps(smooth=0.5, in_place="TREND", loop_span=10, floor=0.0), FPS
    )
    assert len(cleaned.frames) == count
    assert np.isfinite(cleaned.quats).all()
    assert np.isfinite(cleaned.locations).all()
