# SPDX-License-Identifier: GPL-3.0-or-later
"""A rig's controls over time: from the rotations that they should have to the channels that give these.

All of this is in armature space, T frames, B controls in one order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ..rotations import (
    matrix_from_quat,
    quat_from_matrix,
    quat_inverse,
    quat_multiply,
    rotvec_from_quat,
    without_sign_jumps,
)
from .euler import ORDERS, euler_from_matrix, matrix_from_euler
from .following import ARMATURE, NOBODY, Following

QUATERNION: Final = "QUATERNION"
AXIS_ANGLE: Final = "AXIS_ANGLE"


@dataclass(frozen=True)
class Channel:
    """How one control turns.

    Attributes:
        mode: "QUATERNION", "AXIS_ANGLE" or an order of Euler angles.
        locked: whether the rotation about x, y and z is locked.
        angles: (3,) what the Euler angles are now; locked ones stay.
        location_axes: (3, 3) see `following.location_axes`.
    """

    mode: str = QUATERNION
    locked: tuple[bool, bool, bool] = (False, False, False)
    angles: np.ndarray = field(default_factory=lambda: np.zeros(3))
    location_axes: np.ndarray = field(default_factory=lambda: np.eye(3))

    def fit(self, turns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The values that give rotations, as far as the channels are free.

        Args:
            turns: (T, 4) rotations about the control's own axes.

        Returns:
            (T, 3) or (T, 4) values as Blender's property has them, and the rotations (T, 4) that they give.
        """
        if self.mode not in ORDERS and not any(self.locked):
            turns = without_sign_jumps(turns)
            if self.mode == QUATERNION:
                return turns, turns
            return axis_angles(turns), turns
        # Blender locks quaternions by their Euler angles, too
        order = self.mode if self.mode in ORDERS else "XYZ"
        angles = euler_from_matrix(matrix_from_quat(turns), order, self.angles)
        if any(self.locked):
            angles = np.where(self.locked, self.angles, angles)
            turns = quat_from_matrix(matrix_from_euler(angles, order))
        turns = without_sign_jumps(turns)
        if self.mode in ORDERS:
            return angles, turns
        return (turns if self.mode == QUATERNION else axis_angles(turns)), turns


@dataclass
class RigPose:
    """The controls as they come out.

    Attributes:
        turns: (T, B, 4) rotations.
        places: (T, B, 3) heads; not a number where a control's place is not known.
        values: of each control that turns, what to key: (T, 3) or (T, 4).
        locations: of each control that moves, what to key: (T, 3).
        unknown: controls whose rotation is to be found by stepping through the scene.
    """

    turns: np.ndarray
    places: np.ndarray
    values: dict[int, np.ndarray]
    locations: dict[int, np.ndarray]
    unknown: tuple[int, ...]


def pose_rig(
    following: Following,
    channels: Sequence[Channel],
    goals: Mapping[int, np.ndarray],
    goal_places: Mapping[int, np.ndarray],
    count: int,
) -> RigPose:
    """Find the channels of all controls.

    Args:
        following: who follows whom.
        channels: of each control.
        goals: control to the rotations (T, 4) that it should have; others keep their channels at zero.
        goal_places: control to the places (T, 3) where its head should be; others do not move.
        count: T.
    """
    turns = np.tile([1.0, 0.0, 0.0, 0.0], (count, len(channels), 1))
    places = np.full((count, len(channels), 3), np.nan)
    pose = RigPose(turns, places, {}, {}, ())
    unknown = []
    for control in following.order:
        other, base = following.turns_with[control], following.sits_on[control]
        channel = channels[control]
        if other == NOBODY or (other != ARMATURE and other in unknown):
            unknown.append(control)
            free = None
        else:
            free = quat_from_matrix(following.turn[control])
            free = (
                np.broadcast_to(free, (count, 4))
                if other == ARMATURE
                else quat_multiply(turns[:, other], free)
            )
        if free is None:
            turns[:, control] = goals.get(control, turns[:, control])
        elif control in goals:
            own = quat_multiply(quat_inverse(free), goals[control])
            pose.values[control], own = channel.fit(own)
            turns[:, control] = quat_multiply(free, own)
        else:
            turns[:, control] = free
        if base == ARMATURE:
            places[:, control] = following.place[control]
        elif base != NOBODY:
            places[:, control] = places[:, base] + matrix_from_quat(turns[:, base]) @ following.place[control]
        if control in goal_places and free is not None and base != NOBODY:
            shift = goal_places[control] - places[:, control]
            axes = matrix_from_quat(free) @ channel.location_axes
            pose.locations[control] = np.einsum("tji,tj->ti", axes, shift)
            places[:, control] = goal_places[control]
    pose.unknown = tuple(control for control in unknown if control in goals)
    return pose


def axis_angles(turns: np.ndarray) -> np.ndarray:
    """Angle and axis (T, 4) as Blender has them, without jumps where the turn goes through zero."""
    vectors = rotvec_from_quat(turns)
    angle = np.linalg.norm(vectors, axis=-1)
    axis = np.where(angle[:, None] > 1e-6, vectors / np.maximum(angle, 1e-6)[:, None], [0.0, 1.0, 0.0])
    values = np.concatenate([angle[:, None], axis], axis=1)
    turned = np.flatnonzero(angle > 1e-6)
    if len(turned):  # at rest before: about the axis that it begins to turn about
        values[: turned[0], 1:] = values[turned[0], 1:]
    for frame in range(1, len(values)):
        if angle[frame] <= 1e-6:
            values[frame, 1:] = values[frame - 1, 1:]
        if values[frame, 1:] @ values[frame - 1, 1:] < 0:
            values[frame] *= -1
        values[frame, 0] += 2 * np.pi * np.round((values[frame - 1, 0] - values[frame, 0]) / (2 * np.pi))
    return values
