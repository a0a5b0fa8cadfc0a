# SPDX-License-Identifier: GPL-3.0-or-later
"""planted_feet.py: who stands is found, and stands after smoothing as before."""

import numpy as np
import pytest
from recover_motion.leg_pose import BALL, LEGS, pose_legs, with_ankles_moved
from recover_motion.planted_feet import keep_feet_planted, standing
from recover_motion.rotations import quat_from_rotvec, quat_multiply, without_sign_jumps
from recover_motion.smoothing import smooth_rotations, smooth_values
from test_leg_pose import skeleton

FPS = 30.0
STEP = 30
"""Frames of a step: a foot stands for 18 of them, then takes 12 to the next place."""


def foot_path(count, phase):
    """Shift forward and up of a foot that steps, and whether it stands."""
    time = (np.arange(count) + phase) / STEP
    whole, part = np.floor(time), time % 1
    swing = np.clip((part - 0.6) / 0.4, 0, 1)
    ahead = (whole + swing**2 * (3 - 2 * swing)) * 0.5
    return ahead, 0.1 * np.sin(np.pi * swing) ** 2, swing == 0


def walk(count=180, jitter=0.0, seed=0):
    """A walk forwards (-y): turns (T, 24, 4), pelvis (T, 3), and where each foot stands (T, 2)."""
    rest = skeleton()
    turns = np.tile([1.0, 0, 0, 0], (count, 24, 1))
    pelvis = rest.heads[0] + np.stack(
        [np.zeros(count), -0.5 * np.arange(count) / STEP, np.full(count, -0.12)], 1
    )
    pose = pose_legs(rest, turns, pelvis)
    shift, stands = np.zeros((count, 2, 3)), np.zeros((count, 2), bool)
    for side, phase in enumerate((0, STEP // 2)):
        ahead, up, stands[:, side] = foot_path(count, phase)
        goal = rest.heads[LEGS[side, 2]] + np.stack([0 * ahead, phase / STEP * 0.5 - 0.15 - ahead, up], 1)
        shift[:, side] = goal - pose.points[:, side, 2]
    turns = with_ankles_moved(turns, pose, shift, turns[:, 0])
    noise = np.random.default_rng(seed).normal(0, jitter, (count, 24, 3))
    return rest, without_sign_jumps(quat_multiply(turns, quat_from_rotvec(noise))), pelvis, stands


def creep(rest, turns, pelvis, stands):
    """Mean speed of balls that stand, metres a second, away from the edges of the plants."""
    balls = pose_legs(rest, turns, pelvis).points[:, :, BALL]
    inside = stands[1:-1] & stands[:-2] & stands[2:]
    return (np.linalg.norm(balls[2:] - balls[:-2], axis=-1) * FPS / 2)[inside].mean()


def test_plants_are_found_to_a_few_frames():
    rest, turns, pelvis, stands = walk()
    balls = pose_legs(rest, turns, pelvis).points[:, :, BALL]
    for side in (0, 1):
        found = np.zeros(len(balls), bool)
        for start, end in standing(balls[:, side], 0.2, FPS):
            found[start:end] = True
        assert (found == stands[:, side]).mean() > 0.9


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_nothing_stands_in_hardly_any_frames_of_a_run(count):
    assert standing(np.arange(3.0 * count).reshape(count, 3), 0.2, FPS) == []


@pytest.mark.parametrize("jitter", [0.0, 0.005])
@pytest.mark.parametrize("seconds", [0.2, 0.4])
def test_planted_feet_creep_far_less_than_smoothed_ones(jitter, seconds):
    rest, turns, pelvis, stands = walk(jitter=jitter)
    smooth_turns = smooth_rotations(turns, seconds, FPS)
    smooth_pelvis = smooth_values(pelvis, seconds, FPS)
    kept = keep_feet_planted(rest, turns, pelvis, smooth_turns, smooth_pelvis, seconds, FPS)
    smoothed = creep(rest, smooth_turns, smooth_pelvis, stands)
    assert creep(rest, kept, smooth_pelvis, stands) < 0.5 * smoothed
    # and the feet are where they were
    balls = [pose_legs(rest, *each).points[:, :, BALL] for each in ((turns, pelvis), (kept, smooth_pelvis))]
    inside = stands & np.roll(stands, 3, axis=0) & np.roll(stands, -3, axis=0)
    assert np.linalg.norm(balls[1] - balls[0], axis=-1)[inside].max() < 0.03


def test_legs_do_not_jerk_at_the_edges_of_plants():
    rest, turns, pelvis, _ = walk()
    smooth_turns = smooth_rotations(turns, 0.4, FPS)
    kept = keep_feet_planted(rest, turns, pelvis, smooth_turns, pelvis, 0.4, FPS)

    def jerk(of):
        places = pose_legs(rest, of, pelvis).points[:, :, BALL]
        return np.linalg.norm(np.diff(places, 2, axis=0), axis=-1).max()

    assert jerk(kept) < 2 * jerk(turns)


def test_a_motion_that_was_not_smoothed_hardly_changes():
    rest, turns, pelvis, _ = walk()
    kept = keep_feet_planted(rest, turns, pelvis, turns, pelvis, 0.0, FPS)
    before, after = (pose_legs(rest, each, pelvis).points for each in (turns, kept))
    assert (
        np.abs(after - before).max() < 0.02
    )  # a plant's first frames, in which the foot still comes to rest


def test_a_foot_that_slid_slides_on_without_shaking():
    """5 cm a second over three seconds: no anchor, but the path stays and the shaking goes."""
    rest, turns, _, _ = walk(90)
    turns = np.repeat(turns[:1], 90, axis=0)
    pelvis = rest.heads[0] + np.stack([0.05 * np.arange(90) / FPS, np.zeros(90), np.full(90, -0.12)], 1)
    shaken = pelvis + np.random.default_rng(2).normal(0, 0.002, pelvis.shape)
    kept = keep_feet_planted(rest, turns, shaken, turns, smooth_values(shaken, 0.4, FPS), 0.4, FPS)
    balls = pose_legs(rest, kept, smooth_values(shaken, 0.4, FPS)).points[:, :, BALL]
    wanted = pose_legs(rest, turns, pelvis).points[:, :, BALL]
    assert np.linalg.norm(balls - wanted, axis=-1).max() < 0.006
