# SPDX-License-Identifier: GPL-3.0-or-later
"""From bones seen in the world to keys of a stand-in whose object stands unturned at the origin.

The armature object's scale and its tilt (as the 90° about X of an imported figure) go into the stand-in's
rest pose; its place and its heading, which may be animated, go into the motion of the bones without a parent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..rotations import matrix_from_quat, quat_from_matrix, without_sign_jumps

Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
"""From Blender's axes (z up, figures face -y) to those with y up and figures facing +z."""

_EVEN = 1e-3
"""Scales that differ by less than this share are one."""


@dataclass(frozen=True)
class Placement:
    """How the stand-in's space lies to the world.

    Attributes:
        axes: (3, 3) rotation from the world to the stand-in's space.
        unit: its units to a unit of the scene.
    """

    axes: np.ndarray
    unit: float


@dataclass(frozen=True)
class BoneKeys:
    """Keys of B bones at F frames.

    Attributes:
        locations: (F, B, 3).
        quats: (F, B, 4) unit quaternions without jumps of sign.
        scales: (F, B, 3).
    """

    locations: np.ndarray
    quats: np.ndarray
    scales: np.ndarray


def even_scale(matrix: np.ndarray) -> float | None:
    """The scale of a 4x4 matrix; None when it is not the same in all directions, or mirrors."""
    scales = np.linalg.norm(matrix[:3, :3], axis=0)
    if np.ptp(scales) > _EVEN * scales.max() or np.linalg.det(matrix[:3, :3]) <= 0:
        return None
    return float(scales.mean())


def rest_matrix(armature_in_world: np.ndarray, placement: Placement) -> np.ndarray:
    """What the stand-in's rest pose is made with: 4x4, from the armature's space to the stand-in's.

    Args:
        armature_in_world: (4, 4) at the first frame, of even scale.
        placement: of the stand-in.
    """
    scale = even_scale(armature_in_world)
    if scale is None:
        raise ValueError("the scale is not even")
    w, x, y, z = quat_from_matrix(armature_in_world[:3, :3] / scale)
    length = np.hypot(w, z)
    # the turn about the world's z that comes last, taken off again: what is left is the tilt
    heading = np.array([w, 0, 0, z]) / length if length > 1e-6 else np.array([1.0, 0, 0, 0])
    tilt = matrix_from_quat(heading).T @ matrix_from_quat(np.array([w, x, y, z]))
    matrix = np.eye(4)
    matrix[:3, :3] = placement.axes @ tilt * (scale * placement.unit)
    return matrix


def keys_of_bones(
    in_world: np.ndarray,
    scale: float,
    placement: Placement,
    rest: np.ndarray,
    parents: Sequence[int],
    *,
    scaled: bool = True,
    half: bool = False,
) -> BoneKeys:
    """The keys that bring the stand-in's bones to where they were seen.

    A pose that keys cannot hold, because bones above are scaled unevenly and so shear it, is missed only in
    its axes: the heads are in their places all the same.

    Args:
        in_world: (F, B, 4, 4) bones in the world, with their scale.
        scale: of the armature object at the first frame.
        placement: of the stand-in.
        rest: (B, 4, 4) the stand-in's bones at rest.
        parents: index of each bone's parent, which comes before it; -1 for a root.
        scaled: False to have no scale in the keys; the heads are in their places all the same.
        half: have scales of half precision, and the heads in their places for them.
    """
    frames, count = in_world.shape[:2]
    wanted = np.array(in_world, np.float64)
    wanted[..., :3, :3] = placement.axes @ wanted[..., :3, :3] / scale
    wanted[..., :3, 3] = wanted[..., :3, 3] @ placement.axes.T * placement.unit
    reached = np.empty_like(wanted)
    locations, scales = np.empty((frames, count, 3)), np.empty((frames, count, 3))
    quats = np.empty((frames, count, 4))
    for bone, parent in enumerate(parents):
        if parent < 0:
            at_rest = np.broadcast_to(rest[bone], (frames, 4, 4))
        else:
            at_rest = reached[:, parent] @ (np.linalg.inv(rest[parent]) @ rest[bone])
        basis = np.linalg.inv(at_rest) @ wanted[:, bone]
        locations[:, bone] = basis[:, :3, 3]
        size = np.linalg.norm(basis[:, :3, :3], axis=1)
        size[np.linalg.det(basis[:, :3, :3]) < 0] *= -1
        size = np.where(np.abs(size) > 1e-9, size, 1e-9)
        left, _, right = np.linalg.svd(basis[:, :3, :3] / size[:, None])
        scales[:, bone] = (size.astype(np.float16) if half else size) if scaled else 1.0
        quats[:, bone] = quat_from_matrix(left @ right)
        held = np.broadcast_to(np.eye(4), (frames, 4, 4)).copy()
        held[:, :3, :3] = matrix_from_quat(quats[:, bone]) * scales[:, None, bone]
        held[:, :3, 3] = locations[:, bone]
        reached[:, bone] = at_rest @ held
    return BoneKeys(locations, without_sign_jumps(quats), scales)
