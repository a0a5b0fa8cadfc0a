# SPDX-License-Identifier: GPL-3.0-or-later
"""What each control of a rig hangs on, found by moving the controls and looking.

Between a control and its parents a rig may have bones that are moved by constraints and drivers: Rigify's FK
arms hang on a bone that copies its rotation from one place and its location from another. None of that has
to be understood here. The controls are posed at random a few times, and for each one the bone is found that
it follows: the one in whose axes it always stands the same while its own channels are zero. A rotation may
be taken from one bone and a place from another.

All of this is in armature space.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np
from mathutils import Euler, Matrix, Vector

from ..compat import Placed
from ..rotations import matrix_from_quat, quat_from_matrix

ARMATURE = -1
"""Stands for the armature itself among the bones that can be followed."""

NOBODY = -2
"""A control that follows no single bone: its place is known only when everything else is posed."""

_PROBES = 4
_LARGEST_TURN = 0.6
"""Radians about each axis."""

_SAME_TURN = 3e-4
"""Radians; bones are posed in single precision, through chains of constraints."""

_SAME_PLACE = 1e-3
"""As a share of the rig's size."""


@dataclass(frozen=True)
class Following:
    """How the controls of a rig hang together.

    Attributes:
        order: (B,) indices of the controls such that each comes after those that it follows; those that
            follow nobody come last.
        turns_with: (B,) whose rotation each control follows: an index, or ARMATURE, or NOBODY.
        turn: (B, 3, 3) the control's rotation in the axes of that one, its own channels being zero.
        sits_on: (B,) in whose axes its place is fixed, likewise.
        place: (B, 3) its place there, its own location being zero.
    """

    order: tuple[int, ...]
    turns_with: np.ndarray
    turn: np.ndarray
    sits_on: np.ndarray
    place: np.ndarray

    def knows(self, control: int) -> bool:
        """Whether both rotation and place of a control can be told from those of others."""
        return self.turns_with[control] != NOBODY and self.sits_on[control] != NOBODY


def find_following(
    context: bpy.types.Context, rig: bpy.types.Object, controls: Sequence[str], movable: Sequence[str]
) -> Following:
    """Find what controls of a rig follow. The rig's pose and animation are as before afterwards.

    Args:
        context: its view layer is evaluated a few times.
        rig: the armature, with its properties already set as the motion will have them.
        controls: names of pose bones.
        movable: those of them whose location will be keyed too.
    """
    bones = [rig.pose.bones[name] for name in controls]
    layer = context.view_layer
    size = float(np.ptp([bone.head_local for bone in rig.data.bones], axis=0).max()) or 1.0
    random = np.random.default_rng(0)
    poses, bases = [], []
    with _let_loose(rig, bones):
        for _ in range(_PROBES):
            for bone, name in zip(bones, controls, strict=True):
                angles = random.uniform(-_LARGEST_TURN, _LARGEST_TURN, 3)
                turn = Euler(angles).to_matrix().to_4x4()
                shift = random.uniform(-0.1, 0.1, 3) * size if name in movable else np.zeros(3)
                bone.matrix_basis = Matrix.Translation(Vector(shift)) @ turn
            layer.update()
            poses.append([np.array(bone.matrix) for bone in bones])
            bases.append([np.array(bone.matrix_basis) for bone in bones])
    ancestors = [_ancestors(bone, controls) for bone in bones]
    axes = np.array([location_axes(bone.bone) for bone in bones])
    return following_of(np.array(poses), np.array(bases), ancestors, axes, size)


def location_axes(bone: bpy.types.Bone) -> np.ndarray:
    """Axes (3, 3) of a bone's location channels, as columns, in its own axes at zero rotation.

    They are its own unless Local Location is off: then they are its parent's.
    """
    if bone.use_local_location:
        return np.eye(3)
    rest = np.array(bone.matrix_local)[:3, :3]
    return rest.T @ np.array(bone.parent.matrix_local)[:3, :3] if bone.parent else rest.T


def following_of(
    poses: np.ndarray,
    bases: np.ndarray,
    ancestors: Sequence[Sequence[int]],
    axes: np.ndarray,
    size: float,
) -> Following:
    """Who follows whom, from a few random poses.

    Args:
        poses: (P, B, 4, 4) the controls' matrices.
        bases: (P, B, 4, 4) their own channels in those poses.
        ancestors: of each control, the controls above it, the nearest first: they are tried first.
        axes: (B, 3, 3) of each control, see `location_axes`.
        size: of the rig.
    """
    count = poses.shape[1]
    turns = _rotations(poses)
    own = _rotations(bases)
    free_turns = turns @ own.transpose(0, 1, 3, 2)
    places = poses[..., :3, 3] - np.einsum("pbij,pbj->pbi", free_turns @ axes, bases[..., :3, 3])

    order: list[int] = []
    turns_with, sits_on = np.full(count, NOBODY), np.full(count, NOBODY)
    turn, place = np.tile(np.eye(3), (count, 1, 1)), np.zeros((count, 3))
    left = list(range(count))
    while left:
        found = []
        for control in left:
            near = [above for above in ancestors[control] if above in order]
            choices = [*near, ARMATURE, *(other for other in order if other not in near)]
            for other in choices:
                if turns_with[control] == NOBODY:
                    relative = _seen_from(turns, other) @ free_turns[:, control]
                    if _angles(relative).max() < _SAME_TURN:
                        turns_with[control] = other
                        turn[control] = _rotations(relative.mean(axis=0)[None])[0]
                if sits_on[control] == NOBODY:
                    there = places[:, control] - (0 if other == ARMATURE else poses[:, other, :3, 3])
                    there = np.einsum("pij,pj->pi", _seen_from(turns, other), there)
                    if np.abs(there - there.mean(axis=0)).max() < _SAME_PLACE * size:
                        sits_on[control] = other
                        place[control] = there.mean(axis=0)
            if turns_with[control] != NOBODY and sits_on[control] != NOBODY:
                found.append(control)
        if not found:  # a place that nobody knows is no reason to give the rotation up
            found = [control for control in left if turns_with[control] != NOBODY][:1]
        if not found:
            break
        order += found
        left = [control for control in left if control not in found]
    return Following((*order, *left), turns_with, turn, sits_on, place)


def _seen_from(turns: np.ndarray, other: int) -> np.ndarray:
    """Inverse rotations (P, 3, 3) of a control, or of the armature."""
    return np.eye(3)[None] if other == ARMATURE else turns[:, other].transpose(0, 2, 1)


def _angles(turns: np.ndarray) -> np.ndarray:
    """Angles (P,) between rotations (P, 3, 3) and the first of them."""
    difference = turns[0].T @ turns
    # from the skew part: the trace cannot tell small angles
    skew = difference - difference.transpose(0, 2, 1)
    sine = np.linalg.norm([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=0) / 2
    cosine = (np.trace(difference, axis1=1, axis2=2) - 1) / 2
    return np.arctan2(sine, cosine)


def _rotations(matrices: np.ndarray) -> np.ndarray:
    """Rotation parts (..., 3, 3) of matrices, without scale."""
    part = np.array(matrices[..., :3, :3], np.float64)
    return matrix_from_quat(quat_from_matrix(part / np.linalg.norm(part, axis=-2, keepdims=True)))


def _ancestors(bone: bpy.types.PoseBone, controls: Sequence[str]) -> list[int]:
    number = {name: index for index, name in enumerate(controls)}
    return [number[above.name] for above in bone.parent_recursive if above.name in number]


@contextmanager
def _let_loose(rig: bpy.types.Object, bones: Sequence[bpy.types.PoseBone]) -> Iterator[None]:
    """Take a rig's animation off inside the block; animation and pose come back after it."""
    animation = rig.animation_data
    placed = animation and Placed.on(animation)
    layers = animation.use_nla if animation else False
    channels = [
        (
            bone.location.copy(),
            bone.rotation_quaternion.copy(),
            bone.rotation_euler.copy(),
            tuple(bone.rotation_axis_angle),
            bone.scale.copy(),
        )
        for bone in bones
    ]
    try:
        if animation:
            animation.action, animation.use_nla = None, False
        yield
    finally:
        for bone, (location, quaternion, euler, axis_angle, scale) in zip(bones, channels, strict=True):
            bone.location, bone.scale = location, scale
            bone.rotation_quaternion, bone.rotation_euler = quaternion, euler
            bone.rotation_axis_angle = axis_angle
        if animation:
            animation.use_nla = layers
            if placed:
                placed.assign_to(animation)
