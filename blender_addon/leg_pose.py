# SPDX-License-Identifier: GPL-3.0-or-later
"""The legs in space: where their joints and soles are, and how they bend to bring an ankle elsewhere.

Everything is in the armature's axes (metres, z up, the figure at rest faces -y and stands on z = 0). A turn
is a rotation away from rest about these axes; a bone's quaternion is the same turn about the bone's own axes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from .rotations import matrix_from_quat, quat_from_rotvec, quat_inverse, quat_multiply
from .skeleton import INDEX

HIP, KNEE, ANKLE, BALL = range(4)

LEGS: Final = np.array(
    [[INDEX[f"{side}_{name}"] for name in ("hip", "knee", "ankle", "foot")] for side in ("left", "right")]
)
"""(2, 4) joints of the legs: left and right; hip, knee, ankle, ball of the foot."""

_STRAIGHT = 0.02
"""Sine of the knee's bend below which the plane that it bends in cannot be told from where the joints are."""

_LONGEST = 0.9995
"""A leg is stretched to this share of its length at most: the last bit would take the knee far around."""

_HEEL = 0.25
"""How far the heel is behind the ankle, as a share of the distance from ankle to toe tip."""


@dataclass(frozen=True)
class RestSkeleton:
    """The bones at rest, in SMPL's joint order.

    Attributes:
        heads: (24, 3) where the joints are.
        tails: (24, 3) where the bones end.
        quats: (24, 4) from bone to armature axes.
    """

    heads: np.ndarray
    tails: np.ndarray
    quats: np.ndarray

    def turns(self, bone_quats: np.ndarray) -> np.ndarray:
        """Turns (T, 24, 4) of the bones' quaternions (T, 24, 4)."""
        return quat_multiply(quat_multiply(self.quats, bone_quats), quat_inverse(self.quats))

    def bone_quats(self, turns: np.ndarray) -> np.ndarray:
        """The bones' quaternions (T, 24, 4) of turns (T, 24, 4)."""
        return quat_multiply(quat_multiply(quat_inverse(self.quats), turns), self.quats)

    def pelvis(self, locations: np.ndarray) -> np.ndarray:
        """Places of the pelvis (T, 3) for locations of its bone (T, 3)."""
        return self.heads[0] + locations @ matrix_from_quat(self.quats[0]).T

    def locations(self, pelvis: np.ndarray) -> np.ndarray:
        """Locations of the pelvis' bone (T, 3) for its places (T, 3)."""
        return (pelvis - self.heads[0]) @ matrix_from_quat(self.quats[0])


@dataclass(frozen=True)
class LegPose:
    """Both legs over time.

    Attributes:
        points: (T, 2, 4, 3) places of hips, knees, ankles and balls.
        turns: (T, 2, 4, 4) turns of thighs, shins, feet and toes, with those of everything above them.
    """

    points: np.ndarray
    turns: np.ndarray


def pose_legs(rest: RestSkeleton, turns: np.ndarray, pelvis: np.ndarray) -> LegPose:
    """The legs of a motion.

    Args:
        rest: the skeleton.
        turns: (T, 24, 4) each joint's turn about its parent.
        pelvis: (T, 3).
    """
    points, whole = [], []
    above = np.repeat(turns[:, None, 0], 2, axis=1)
    place, joint_above = np.repeat(pelvis[:, None], 2, axis=1), np.zeros(2, int)
    for joint in LEGS.T:
        place = place + turned(above, rest.heads[joint] - rest.heads[joint_above])
        above = quat_multiply(above, turns[:, joint])
        points.append(place)
        whole.append(above)
        joint_above = joint
    return LegPose(np.stack(points, axis=2), np.stack(whole, axis=2))


def sole_heights(rest: RestSkeleton, pose: LegPose) -> np.ndarray:
    """Heights (T, 6) of heel, ball and toe tip under the soles of both feet; see `sole_points`."""
    return sole_points(rest, pose)[..., 2]


def sole_points(rest: RestSkeleton, pose: LegPose) -> np.ndarray:
    """Places (T, 6, 3) of heel, ball and toe tip under the soles of both feet.

    The points are on the floor when the figure is at rest. They come from the bones, so that it does not
    matter what skin the armature wears.
    """
    points = []
    for side, (_, _, ankle, ball) in enumerate(LEGS):
        heel = rest.heads[ankle] + _HEEL * (rest.heads[ankle] - rest.tails[ball])
        for part, joint, point in (
            (ANKLE, ankle, heel),
            (ANKLE, ankle, rest.heads[ball]),
            (BALL, ball, rest.tails[ball]),
        ):
            under = np.array([point[0], point[1], 0.0]) - rest.heads[joint]
            points.append(pose.points[:, side, part] + turned(pose.turns[:, side, part], under))
    return np.stack(points, axis=1)


def with_ankles_moved(
    turns: np.ndarray, pose: LegPose, shift: np.ndarray, root_turns: np.ndarray
) -> np.ndarray:
    """Bend the legs such that the ankles move, while the pelvis stays and the feet keep their direction.

    Knees stay in the plane of the leg, which swings about the hip. Where a place is out of reach, the leg is
    stretched towards it.

    Args:
        turns: (T, 24, 4) each joint's turn about its parent.
        pose: the legs of that motion.
        shift: (T, 2, 3) by how much each ankle moves.
        root_turns: (T, 4) the pelvis' turns.

    Returns:
        (T, 24, 4) turns; only hips, knees and ankles differ.
    """
    hip, knee, ankle = (pose.points[:, :, part] for part in (HIP, KNEE, ANKLE))
    thigh, shin = _length(knee - hip), _length(ankle - knee)
    now, goal = ankle - hip, ankle + shift - hip
    far_now, far_goal = _length(now), _length(goal)
    far = np.minimum(far_goal, np.maximum(_LONGEST * (thigh + shin), far_now))
    far = np.maximum(far, np.abs(thigh - shin) + 1e-3)
    along_now, along_goal = now / far_now, goal / far_goal

    bend = np.cross(knee - hip, ankle - knee) / (thigh * shin)
    hinge = turned(pose.turns[:, :, HIP], np.array([1.0, 0.0, 0.0]))  # knees bend about it
    hinge = hinge - np.sum(hinge * along_now, axis=-1, keepdims=True) * along_now
    axis = np.where(_length(bend) > _STRAIGHT, bend, hinge)
    axis = axis / _length(axis)
    at_hip = _corner(thigh, far_now, shin) - _corner(thigh, far, shin)
    at_ankle = _corner(shin, far, thigh) - _corner(shin, far_now, thigh)

    swing = np.concatenate(
        [1 + np.sum(along_now * along_goal, axis=-1, keepdims=True), np.cross(along_now, along_goal)], axis=-1
    )
    swing = swing / _length(swing)
    new_thigh = quat_multiply(swing, quat_multiply(quat_from_rotvec(axis * at_hip), pose.turns[:, :, HIP]))
    new_shin = quat_multiply(swing, quat_multiply(quat_from_rotvec(axis * at_ankle), pose.turns[:, :, KNEE]))

    moved = np.array(turns, np.float64)
    moved[:, LEGS[:, HIP]] = quat_multiply(quat_inverse(root_turns)[:, None], new_thigh)
    moved[:, LEGS[:, KNEE]] = quat_multiply(quat_inverse(new_thigh), new_shin)
    moved[:, LEGS[:, ANKLE]] = quat_multiply(quat_inverse(new_shin), pose.turns[:, :, ANKLE])
    return moved


def turned(quats: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) turned by unit quaternions (..., 4)."""
    return np.einsum("...ij,...j->...i", matrix_from_quat(quats), vectors)


def _corner(one: np.ndarray, other: np.ndarray, opposite: np.ndarray) -> np.ndarray:
    """Angle between two sides of a triangle, radians."""
    return np.arccos(np.clip((one**2 + other**2 - opposite**2) / (2 * one * other), -1, 1))


def _length(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1, keepdims=True)
