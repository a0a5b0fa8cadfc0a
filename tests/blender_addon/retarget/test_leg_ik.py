# SPDX-License-Identifier: GPL-3.0-or-later
"""leg_ik.py: against kinematics and brute force; ankles that go where they are sent."""

import numpy as np
import pytest
from recover_motion.leg_pose import turned
from recover_motion.retarget.leg_ik import LONGEST, arc, bent_to, knee_hinge
from recover_motion.rotations import quat_from_rotvec, quat_inverse, quat_multiply, rotvec_from_quat

UPPER, LOWER = 0.42, 0.4


def random_legs(count=400, seed=0, least=0.05):
    """Legs in any pose: hip, knee, ankle (N, 3), turns of thigh and shin (N, 4), hinge at rest (N, 3)."""
    random = np.random.default_rng(seed)
    thigh = quat_from_rotvec(random.normal(0, 1, (count, 3)))
    hinge = np.tile([1.0, 0, 0], (count, 1))
    shin = quat_multiply(thigh, quat_from_rotvec(hinge * random.uniform(least, 2.4, (count, 1))))
    hip = random.uniform(-2, 2, (count, 3))
    knee = hip + turned(thigh, np.array([0, 0, -UPPER]))
    return hip, knee, knee + turned(shin, np.array([0, 0, -LOWER])), thigh, shin, hinge


def follow(hip, thigh, shin):
    knee = hip + turned(thigh, np.array([0, 0, -UPPER]))
    return knee, knee + turned(shin, np.array([0, 0, -LOWER]))


def angle(one, other):
    return np.linalg.norm(rotvec_from_quat(quat_multiply(one, quat_inverse(other))), axis=-1)


def test_turns_bring_the_ankle_to_its_goal():
    hip, knee, ankle, thigh, shin, hinge = random_legs()
    random = np.random.default_rng(1)
    direction = random.normal(size=hip.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    goal = hip + direction * random.uniform(0.1, 0.99 * (UPPER + LOWER), (len(hip), 1))
    new_thigh, new_shin, new_knee, new_ankle = bent_to(hip, knee, ankle, thigh, shin, goal, hinge)
    by_turns = follow(hip, new_thigh, new_shin)
    np.testing.assert_allclose(new_ankle, goal, atol=1e-9)
    np.testing.assert_allclose(by_turns[0], new_knee, atol=1e-9)
    np.testing.assert_allclose(by_turns[1], goal, atol=1e-9)


def test_the_knee_stays_a_hinge():
    """Thigh and shin turn about one axis of both, as far as the leg was bent enough to tell it."""
    hip, knee, ankle, thigh, shin, hinge = random_legs(least=0.6)
    goal = ankle + np.random.default_rng(2).normal(0, 0.04, ankle.shape)
    goal = hip + (goal - hip) * np.minimum(1, 0.79 / np.linalg.norm(goal - hip, axis=1, keepdims=True))
    new_thigh, new_shin, *_ = bent_to(hip, knee, ankle, thigh, shin, goal, hinge)
    bend = rotvec_from_quat(quat_multiply(quat_inverse(new_thigh), new_shin))
    assert np.abs(bend[:, 1:]).max() < 1e-6
    assert (bend[:, 0] > 0).all()


def test_no_way_to_go_changes_nothing():
    hip, knee, ankle, thigh, shin, hinge = random_legs(least=0.0)
    straight = np.arange(len(hip)) % 5 == 0
    shin[straight] = thigh[straight]
    knee, ankle = follow(hip, thigh, shin)
    longest = np.linalg.norm(ankle - hip, axis=1)
    new_thigh, new_shin, new_knee, _ = bent_to(hip, knee, ankle, thigh, shin, ankle, hinge, longest)
    assert np.linalg.norm(new_knee - knee, axis=1).max() < 1e-6
    assert max(angle(new_thigh, thigh).max(), angle(new_shin, shin).max()) < 1e-5


def test_it_turns_the_bones_no_more_than_it_must():
    """Brute force: of all knees that the lengths allow, it takes the one nearest to the swung leg's."""
    hip, knee, ankle, thigh, shin, hinge = random_legs(12, seed=3, least=0.5)
    goal = ankle + np.random.default_rng(4).normal(0, 0.05, ankle.shape)
    goal = hip + (goal - hip) * np.minimum(1, 0.79 / np.linalg.norm(goal - hip, axis=1, keepdims=True))
    *_, new_knee, _ = bent_to(hip, knee, ankle, thigh, shin, goal, hinge)
    # every knee that the lengths allow lies on a circle about the line from hip to goal
    line = goal - hip
    far = np.linalg.norm(line, axis=1, keepdims=True)
    line = line / far
    middle = hip + line * (UPPER**2 - LOWER**2 + far**2) / (2 * far)
    radius = np.sqrt(UPPER**2 - np.sum((middle - hip) ** 2, axis=1, keepdims=True))
    one = np.cross(line, [0.3, 0.5, 0.8])
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other = np.cross(line, one)
    round_about = np.linspace(0, 2 * np.pi, 3600, endpoint=False)[:, None, None]
    knees = middle + radius * (np.cos(round_about) * one + np.sin(round_about) * other)
    nearest = np.linalg.norm(knees - new_knee, axis=-1).argmin(axis=0)
    # of all those knees the one that was found is the nearest to where the swung leg's knee was
    swing = arc((ankle - hip) / np.linalg.norm(ankle - hip, axis=1, keepdims=True), line)
    swung = hip + turned(swing, knee - hip)
    best = np.linalg.norm(knees - swung, axis=-1).argmin(axis=0)
    assert np.linalg.norm(new_knee - knees[nearest, np.arange(12)], axis=1).max() < 1e-3
    assert np.linalg.norm(new_knee - knees[best, np.arange(12)], axis=1).max() < 1e-3


def test_out_of_reach_it_stretches_towards_the_goal():
    hip, knee, ankle, thigh, shin, hinge = random_legs(least=0.3)
    direction = np.random.default_rng(5).normal(size=hip.shape)
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    *_, new_ankle = bent_to(hip, knee, ankle, thigh, shin, hip + 3 * direction, hinge)
    np.testing.assert_allclose(new_ankle, hip + LONGEST * (UPPER + LOWER) * direction, atol=1e-9)


def test_a_straight_leg_bends_about_its_hinge():
    still = np.array([[1.0, 0, 0, 0]])
    hip = np.zeros((1, 3))
    knee, ankle = follow(hip, still, still)
    for way in ([1.0, 0, 0], [0.0, 1, 0], [-1.0, 0, 0]):
        hinge = np.array([way])
        new_thigh, new_shin, new_knee, _ = bent_to(hip, knee, ankle, still, still, 0.9 * ankle, hinge)
        forward = np.cross([0, 0, -1.0], way)
        assert new_knee[0] @ forward > 0.1
        assert np.abs(np.cross(rotvec_from_quat(new_thigh)[0], way)).max() < 1e-9
        assert np.abs(np.cross(rotvec_from_quat(new_shin)[0], way)).max() < 1e-9


def test_knees_that_are_nearly_straight_do_not_jump():
    """Goals that come nearer little by little bend the knee little by little, whatever side it is on."""
    count = 200
    bends = np.concatenate([np.linspace(0.08, 0.0, count // 2), np.linspace(0.0, 0.08, count // 2)])
    thigh = quat_from_rotvec(np.outer(bends, [-0.5, 0.3, 0]))
    shin = quat_from_rotvec(np.outer(bends, [0.5, -0.3, 0]))
    hip = np.zeros((count, 3))
    knee, ankle = follow(hip, thigh, shin)
    goal = ankle * (1 - 0.03 * np.sin(np.linspace(0, np.pi, count)) ** 2)[:, None]
    hinge = np.tile([1.0, 0, 0], (count, 1))
    *_, new_knee, _ = bent_to(hip, knee, ankle, thigh, shin, goal, hinge, np.linalg.norm(ankle, axis=1))
    assert np.linalg.norm(np.diff(new_knee, axis=0), axis=1).max() < 0.006


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost_at_the_limits(seed):
    """Goals at the hip, folded legs, straight legs, the opposite way: finite, and lengths are kept."""
    hip, knee, ankle, thigh, shin, hinge = random_legs(60, seed, least=0.0)
    shin[:20] = thigh[:20]
    knee, ankle = follow(hip, thigh, shin)
    goal = ankle.copy()
    goal[:10], goal[10:20] = hip[:10], 2 * hip[10:20] - ankle[10:20]
    goal[20:40] = hip[20:40]
    goal[40:] = knee[40:]
    new_thigh, new_shin, new_knee, new_ankle = bent_to(hip, knee, ankle, thigh, shin, goal, hinge)
    for each in (new_thigh, new_shin, new_knee, new_ankle):
        assert np.isfinite(each).all()
    np.testing.assert_allclose(np.linalg.norm(new_knee - hip, axis=1), UPPER, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(new_ankle - new_knee, axis=1), LOWER, atol=1e-9)
    by_turns = follow(hip, new_thigh, new_shin)
    np.testing.assert_allclose(by_turns[1], new_ankle, atol=1e-6)


def test_the_hinge_is_told_by_the_motion_and_else_by_the_feet():
    hip, knee, ankle, thigh, _, _ = random_legs(50, seed=6, least=0.4)
    legs = [np.stack([each, each], axis=1) for each in (hip, knee, ankle, thigh)]
    forward = np.array([[0, -1.0, 0], [0.1, -1.0, 0]])
    told = knee_hinge(*legs, forward)
    assert (told @ [1.0, 0, 0] > 0.999).all()
    # a leg that is straight all the time
    legs[2] = legs[1] + (legs[1] - legs[0])
    np.testing.assert_allclose(knee_hinge(*legs, forward)[0], [1.0, 0, 0], atol=1e-6)


def test_arcs():
    random = np.random.default_rng(7)
    one, other = random.normal(size=(2, 100, 3))
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    other[:10] = -one[:10]
    other[10:20] = one[10:20]
    turn = arc(one, other)
    np.testing.assert_allclose(turned(turn, one), other, atol=1e-7)
    between = np.arccos(np.clip(np.sum(one * other, axis=1), -1, 1))
    np.testing.assert_allclose(np.linalg.norm(rotvec_from_quat(turn), axis=1), between, atol=1e-6)
