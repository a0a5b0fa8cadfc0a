# SPDX-License-Identifier: GPL-3.0-or-later
"""Channels that give the rotations that were asked for, against a rig posed bone by bone."""

import numpy as np
import pytest

pytest.importorskip("bpy")

from recover_motion.retarget.euler import matrix_from_euler
from recover_motion.retarget.following import ARMATURE, NOBODY, Following
from recover_motion.retarget.rig_pose import Channel, axis_angles, pose_rig
from recover_motion.rotations import (
    matrix_from_quat,
    quat_from_matrix,
    quat_from_rotvec,
    quat_inverse,
    quat_multiply,
)

FRAMES = 40


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=-1, keepdims=True)


def random_quats(random: np.random.Generator, *shape: int) -> np.ndarray:
    return unit(random.normal(size=(*shape, 4)))


def smooth_quats(random: np.random.Generator) -> np.ndarray:
    """Rotations (T, 4) that go on from frame to frame, through more than a whole turn."""
    time = np.linspace(0, 1, FRAMES)[:, None]
    axis, other = random.normal(size=(2, 3))
    return quat_multiply(quat_from_rotvec(8 * time * unit(axis)), quat_from_rotvec(np.sin(5 * time) * other))


def chain(random: np.random.Generator, count: int) -> Following:
    """Each bone on the one before, but the third one: its rotation is the armature's."""
    turns_with = np.array([ARMATURE, *range(count - 1)])
    sits_on = turns_with.copy()
    if count > 2:
        turns_with[2] = ARMATURE
    return Following(
        tuple(range(count)),
        turns_with,
        matrix_from_quat(random_quats(random, count)),
        sits_on,
        random.normal(size=(count, 3)),
    )


def naive(following: Following, own: np.ndarray, location: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Matrices (B, 4, 4) of one frame, from the channels forward."""
    matrices = []
    for bone in range(len(own)):
        above = [
            np.eye(4) if other == ARMATURE else matrices[other]
            for other in (following.turns_with[bone], following.sits_on[bone])
        ]
        free = above[0][:3, :3] @ following.turn[bone]
        matrix = np.eye(4)
        matrix[:3, :3] = free @ own[bone]
        matrix[:3, 3] = above[1][:3, :3] @ following.place[bone] + above[1][:3, 3]
        matrix[:3, 3] += free @ axes[bone] @ location[bone]
        matrices.append(matrix)
    return np.array(matrices)


def test_channels_give_goals() -> None:
    random = np.random.default_rng(2)
    modes = ("QUATERNION", "XYZ", "ZXY", "AXIS_ANGLE", "YZX")
    axes = [np.eye(3)] * 3 + list(matrix_from_quat(random_quats(random, 2)))
    channels = [Channel(mode, location_axes=axis) for mode, axis in zip(modes, axes, strict=True)]
    following = chain(random, 5)
    goals = {bone: smooth_quats(random) for bone in range(5)}
    goal_places = {0: random.normal(size=(FRAMES, 3)), 4: random.normal(size=(FRAMES, 3))}
    pose = pose_rig(following, channels, goals, goal_places, FRAMES)
    assert pose.unknown == ()
    for frame in range(FRAMES):
        own = []
        for bone, mode in enumerate(modes):
            value = pose.values[bone][frame]
            if mode == "QUATERNION":
                own.append(matrix_from_quat(value))
            elif mode == "AXIS_ANGLE":
                own.append(matrix_from_quat(quat_from_rotvec(value[0] * value[1:])))
            else:
                own.append(matrix_from_euler(value, mode))
        location = [pose.locations.get(bone, np.zeros((FRAMES, 3)))[frame] for bone in range(5)]
        matrices = naive(following, np.array(own), np.array(location), np.array(axes))
        wanted = matrix_from_quat(np.array([goals[bone][frame] for bone in range(5)]))
        np.testing.assert_allclose(matrices[:, :3, :3], wanted, atol=1e-9)
        np.testing.assert_allclose(matrices[:, :3, 3], pose.places[frame], atol=1e-9)
        np.testing.assert_allclose(matrices[0, :3, 3], goal_places[0][frame], atol=1e-9)
        np.testing.assert_allclose(matrices[4, :3, 3], goal_places[4][frame], atol=1e-9)


def test_values_do_not_jump() -> None:
    random = np.random.default_rng(4)
    turns = smooth_quats(random)
    for mode in ("QUATERNION", "AXIS_ANGLE"):
        values, _ = Channel(mode).fit(turns)
        assert np.abs(np.diff(values, axis=0)).max() < 0.6, mode


def test_bone_without_a_goal_hangs_on() -> None:
    random = np.random.default_rng(6)
    following = chain(random, 2)
    goals = {0: smooth_quats(random)}
    pose = pose_rig(following, [Channel()] * 2, goals, {}, FRAMES)
    wanted = quat_multiply(goals[0], quat_from_matrix(following.turn[1]))
    np.testing.assert_allclose(np.abs(np.sum(pose.turns[:, 1] * wanted, axis=1)), 1, atol=1e-12)
    assert set(pose.values) == {0}


@pytest.mark.parametrize("mode", ["XYZ", "QUATERNION"])
def test_locked_channels_stay_and_bones_below_still_reach_their_goals(mode: str) -> None:
    random = np.random.default_rng(8)
    following = chain(random, 2)
    locked = Channel(mode, (False, True, False), np.array([0.0, 0.3, 0.0]))
    goals = {0: smooth_quats(random), 1: smooth_quats(random)}
    pose = pose_rig(following, [locked, Channel()], goals, {}, FRAMES)
    own = quat_multiply(quat_inverse(quat_from_matrix(following.turn[0])), pose.turns[:, 0])
    if mode == "XYZ":
        np.testing.assert_allclose(pose.values[0][:, 1], 0.3)
        np.testing.assert_allclose(matrix_from_euler(pose.values[0], "XYZ"), matrix_from_quat(own), atol=1e-9)
    else:
        sine = -matrix_from_quat(pose.values[0])[:, 2, 0]
        np.testing.assert_allclose(np.abs(sine), np.sin(0.3), atol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(pose.turns[:, 1] * goals[1], axis=1)), 1, atol=1e-9)


def test_unknown_bones_are_named_with_all_that_hang_on_them() -> None:
    random = np.random.default_rng(9)
    following = chain(random, 3)
    following.turns_with[1] = NOBODY
    following.turns_with[2] = 1
    goals = {bone: smooth_quats(random) for bone in range(3)}
    assert pose_rig(following, [Channel()] * 3, goals, {}, FRAMES).unknown == (1, 2)


def test_axis_goes_on_through_zero_rotation() -> None:
    angles = np.linspace(-0.5, 0.5, 11)
    values = axis_angles(quat_from_rotvec(angles[:, None] * np.array([0.0, 0.0, 1.0])))
    np.testing.assert_allclose(np.abs(values[:, 3]), 1)
    assert np.ptp(values[:, 3]) == 0
    np.testing.assert_allclose(values[:, 0] * values[:, 3], angles, atol=1e-12)
