# SPDX-License-Identifier: GPL-3.0-or-later
"""leg_pose.py: against kinematics joint by joint, and ankles that go where they are sent."""

import numpy as np
import pytest
from recover_motion.leg_pose import (
    ANKLE,
    BALL,
    HIP,
    KNEE,
    LEGS,
    RestSkeleton,
    pose_legs,
    sole_heights,
    with_ankles_moved,
)
from recover_motion.rotations import (
    matrix_from_quat,
    quat_from_rotvec,
    quat_inverse,
    quat_multiply,
    rotvec_from_quat,
)
from smpl_reference import _REST, PARENTS

TO_BLENDER = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])


def skeleton(seed=0):
    """A person's joints on z = 0, with bones that lie anyhow."""
    heads = _REST @ TO_BLENDER.T
    heads[:, 2] += 0.03 - heads[10, 2]
    tails = heads + np.array([0.0, -0.09, 0.0])
    return RestSkeleton(heads, tails, quat_from_rotvec(np.random.default_rng(seed).normal(0, 1, (24, 3))))


def random_turns(count=30, seed=1, size=0.4):
    """Turns with bent knees and any direction of the root."""
    random = np.random.default_rng(seed)
    vectors = random.normal(0, size, (count, 24, 3))
    vectors[:, 0] = random.normal(0, 1.5, (count, 3))
    vectors[:, LEGS[:, KNEE]] = 0.1 * vectors[:, LEGS[:, KNEE]]
    vectors[:, LEGS[:, KNEE], 0] += random.uniform(0.3, 1.5, (count, 2))
    return quat_from_rotvec(vectors), random.uniform(-2, 2, (count, 3))


def by_the_joint(rest, turns, pelvis):
    """Places and matrices of all joints of one frame."""
    places, whole = [pelvis], [matrix_from_quat(turns[0])]
    for joint in range(1, 24):
        above = whole[PARENTS[joint]]
        places.append(places[PARENTS[joint]] + above @ (rest.heads[joint] - rest.heads[PARENTS[joint]]))
        whole.append(above @ matrix_from_quat(turns[joint]))
    return np.array(places), np.array(whole)


def test_legs_are_where_the_joints_are():
    rest = skeleton()
    turns, pelvis = random_turns()
    pose = pose_legs(rest, turns, pelvis)
    for frame in range(30):
        places, whole = by_the_joint(rest, turns[frame], pelvis[frame])
        np.testing.assert_allclose(pose.points[frame], places[LEGS], atol=1e-12)
        np.testing.assert_allclose(matrix_from_quat(pose.turns[frame]), whole[LEGS], atol=1e-12)


def test_bones_and_turns_go_forth_and_back():
    rest = skeleton()
    turns, pelvis = random_turns()
    np.testing.assert_allclose(rest.turns(rest.bone_quats(turns)), turns, atol=1e-12)
    np.testing.assert_allclose(rest.pelvis(rest.locations(pelvis)), pelvis, atol=1e-12)
    np.testing.assert_allclose(rest.pelvis(np.zeros((1, 3)))[0], rest.heads[0])
    bone = rest.bone_quats(turns)[3, 7]  # q = B^-1 D B
    matrices = [matrix_from_quat(each) for each in (rest.quats[7], turns[3, 7], bone)]
    np.testing.assert_allclose(matrices[2], matrices[0].T @ matrices[1] @ matrices[0], atol=1e-12)


def test_soles_of_the_figure_at_rest_are_on_the_floor_and_lift_with_it():
    rest = skeleton()
    turns = np.tile([1.0, 0, 0, 0], (3, 24, 1))
    pelvis = rest.heads[0] + np.array([[0, 0, 0], [1, 2, 0], [0, 0, 0.4]])
    np.testing.assert_allclose(
        sole_heights(rest, pose_legs(rest, turns, pelvis)), [[0.0] * 6, [0.0] * 6, [0.4] * 6], atol=1e-12
    )


def test_a_foot_on_its_toes_lifts_the_heel():
    rest = skeleton()
    turns = np.tile([1.0, 0, 0, 0], (1, 24, 1))
    turns[0, LEGS[0, ANKLE]] = quat_from_rotvec([0.5, 0, 0])  # about x: what is in front (-y) goes down
    heel, ball, toe = sole_heights(rest, pose_legs(rest, turns, rest.heads[:1]))[0, :3]
    assert heel > 0.01
    assert toe < ball < 0


@pytest.mark.parametrize("size", [0.0, 0.01, 0.1])
def test_ankles_go_where_they_are_sent_and_feet_keep_their_direction(size):
    rest = skeleton()
    turns, pelvis = random_turns(200)
    before = pose_legs(rest, turns, pelvis)
    shift = np.random.default_rng(4).normal(0, size, (200, 2, 3))
    far = np.linalg.norm(before.points[:, :, ANKLE] + shift - before.points[:, :, HIP], axis=-1)
    moved = with_ankles_moved(turns, before, shift, turns[:, 0])
    after = pose_legs(rest, moved, pelvis)
    in_reach = (far < 0.77) & (far > 0.1)
    assert in_reach.mean() > 0.5
    off = np.linalg.norm(after.points[:, :, ANKLE] - before.points[:, :, ANKLE] - shift, axis=-1)
    assert off[in_reach].max() < 1e-9
    np.testing.assert_allclose(
        after.points[:, :, BALL] - after.points[:, :, ANKLE],
        before.points[:, :, BALL] - before.points[:, :, ANKLE],
        atol=1e-9,
    )
    others = np.setdiff1d(np.arange(24), LEGS[:, :3])
    np.testing.assert_array_equal(moved[:, others], turns[:, others])
    if size == 0.0:
        change = quat_multiply(quat_inverse(turns), moved)
        assert np.linalg.norm(rotvec_from_quat(change), axis=-1).max() < 1e-6


def test_a_leg_that_is_too_short_stretches_towards_its_goal():
    rest = skeleton()
    turns, pelvis = random_turns(50)
    before = pose_legs(rest, turns, pelvis)
    shift = np.zeros((50, 2, 3))
    shift[:, :, 2] = -2.0
    after = pose_legs(rest, with_ankles_moved(turns, before, shift, turns[:, 0]), pelvis)
    along = after.points[:, :, ANKLE] - after.points[:, :, HIP]
    goal = before.points[:, :, ANKLE] + shift - before.points[:, :, HIP]
    length = np.linalg.norm(along, axis=-1)
    full = np.linalg.norm(np.diff(rest.heads[LEGS[:, :3]], axis=1), axis=-1).sum(axis=1)
    np.testing.assert_allclose(length, np.broadcast_to(0.9995 * full, length.shape))
    np.testing.assert_allclose(
        along / length[..., None], goal / np.linalg.norm(goal, axis=-1, keepdims=True), atol=1e-9
    )


def test_a_straight_leg_bends_at_the_knee_forwards():
    rest = skeleton()
    turns = np.tile([1.0, 0, 0, 0], (1, 24, 1))
    before = pose_legs(rest, turns, rest.heads[:1])
    hip, knee, ankle = (before.points[0, 0, part] for part in (HIP, KNEE, ANKLE))
    rest.heads[LEGS[0, KNEE]] = (hip + ankle) / 2  # exactly straight
    before = pose_legs(rest, turns, rest.heads[:1])
    shift = np.zeros((1, 2, 3))
    shift[0, 0, 2] = 0.1
    after = pose_legs(rest, with_ankles_moved(turns, before, shift, turns[:, 0]), rest.heads[:1])
    np.testing.assert_allclose(after.points[0, 0, ANKLE], ankle + np.array([0, 0, 0.1]), atol=1e-9)
    assert after.points[0, 0, KNEE, 1] < (hip + ankle)[1] / 2 - 0.1  # to the front, -y
    assert knee[1] != pytest.approx(after.points[0, 0, KNEE, 1])
