# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the soles of a rig's feet are: from the skin or the shoes, or else from the bones."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np
from mathutils import Matrix

from .legs import Soles
from .mapping import BoneMap
from .target_rig import TargetRig

_LOW = 0.25
"""Skin up to this share of the ankle's height above the sole counts for where heel and toes end."""

_BALL = 0.68
"""Where the ball of a foot without toe bones is, from heel to toe tip."""

_INSET = 0.015
"""The foot rolls about points this share of its length inside of its ends: soles are round there."""

_MANY_VERTICES = 200_000


def skins_of(rig: bpy.types.Object) -> list[bpy.types.Object]:
    """Meshes that an armature moves: skin that it deforms, and pieces that hang on its bones."""

    def moves(thing: bpy.types.Object) -> bool:
        deformed = any(one.type == "ARMATURE" and one.object == rig for one in thing.modifiers)
        return deformed or (thing.parent == rig and thing.parent_type in ("ARMATURE", "BONE"))

    return [thing for thing in bpy.data.objects if thing.type == "MESH" and moves(thing)]


def find_soles(
    rig: bpy.types.Object, target: TargetRig, bone_map: BoneMap, towards: np.ndarray
) -> tuple[Soles, bool]:
    """The soles of a rig at rest, facing as the source does; and whether they come from skin.

    Args:
        rig: the armature.
        target: its controls at rest.
        bone_map: its bones.
        towards: (3, 3) rotation that makes it face as the source does.
    """
    points = _skin_points(rig)
    sides = []
    for side in ("left", "right"):
        ankle = target.heads[target.index(bone_map.bones[f"{side}_ankle"][0])]
        foot_end = target.tails[target.index(bone_map.bones[f"{side}_ankle"][-1])]
        toes = bone_map.bones.get(f"{side}_foot", ())
        ball = target.heads[target.index(toes[0])] if toes else None
        tip = target.tails[target.index(toes[-1])] if toes else foot_end
        knee = target.heads[target.index(bone_map.bones[f"{side}_knee"][0])]
        sides.append([point if point is None else towards @ point for point in (ankle, ball, tip, knee)])
    skin = points @ towards.T if len(points) else points
    found = [_sole_of_skin(skin, *one, other[0]) for one, other in (sides, sides[::-1])]
    from_skin = all(one is not None for one in found)
    if not from_skin:
        found = [_sole_of_bones(*one) for one in sides]
    return Soles(*(np.stack([one[part] for one in found]) for part in range(4))), from_skin


def _skin_points(rig: bpy.types.Object) -> np.ndarray:
    """Vertices (V, 3) of the skin at rest, in the world, the armature where it is now."""
    found = []
    for thing in skins_of(rig):
        numbers = np.empty(3 * len(thing.data.vertices), np.float32)
        thing.data.vertices.foreach_get("co", numbers)
        points = numbers.reshape(-1, 3).astype(np.float64)
        points = points[:: max(len(points) // _MANY_VERTICES, 1)]
        matrix = np.array(_rest_world(rig, thing))
        found.append(points @ matrix[:3, :3].T + matrix[:3, 3])
    return np.concatenate(found) if found else np.empty((0, 3))


def _rest_world(rig: bpy.types.Object, thing: bpy.types.Object) -> Matrix:
    """Where a piece of skin is in the world when the rig is at rest."""
    bone = rig.pose.bones.get(thing.parent_bone) if thing.parent_type == "BONE" else None
    if bone is None or thing.parent != rig:
        return thing.matrix_world
    posed, rest = rig.matrix_world @ bone.matrix, rig.matrix_world @ bone.bone.matrix_local
    return rest @ posed.inverted() @ thing.matrix_world


def _sole_of_skin(
    skin: np.ndarray,
    ankle: np.ndarray,
    ball: np.ndarray | None,
    tip: np.ndarray,
    knee: np.ndarray,
    other_ankle: np.ndarray,
) -> tuple[np.ndarray, ...] | None:
    """Heel, ball, toe tip and ball joint of one foot, see `Soles`; None where there is no skin."""
    size = max(np.linalg.norm(knee - ankle), 1.2 * np.linalg.norm(tip - ankle))
    # a box about the foot: nothing of the other one, no skirt behind it, nothing above the ankle
    ahead, across = _heading(ankle, ball, tip, other_ankle)
    local = (skin - ankle) @ np.stack([ahead, across, [0.0, 0.0, 1.0]], axis=1)
    between = 0.5 * abs((other_ankle - ankle) @ across)
    width = min(between, 0.5 * size) if between > 1e-6 else 0.5 * size
    inside = (np.abs(local[:, 1]) < width) & (local[:, 2] < 0.05 * size) & (local[:, 2] > -0.8 * size)
    inside &= (local[:, 0] > -0.5 * size) & (local[:, 0] < 1.2 * size)
    local = local[inside]
    if len(local) < 8:
        return None
    floor = local[:, 2].min()
    low = local[local[:, 2] < floor + _LOW * max(-floor, 1e-3)]
    back, front = low[:, 0].min(), low[:, 0].max()
    if front - back < 0.05 * size or -floor < 1e-3 * size:
        return None
    inset = _INSET * (front - back)
    return _sole(ankle, ball, ahead, (back + inset, front - inset), floor)


def _sole_of_bones(
    ankle: np.ndarray, ball: np.ndarray | None, tip: np.ndarray, knee: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The same from the bones alone: the sole is at the lowest of them."""
    del knee
    ahead, _ = _heading(ankle, ball, tip, None)
    ends = [tip, ankle] if ball is None else [tip, ball, ankle]
    floor = min(end[2] for end in ends) - ankle[2]
    front = max((end - ankle) @ ahead for end in ends)
    return _sole(ankle, ball, ahead, (-0.25 * front, front), floor)


def _sole(
    ankle: np.ndarray, ball: np.ndarray | None, ahead: np.ndarray, ends: Sequence[float], floor: float
) -> tuple[np.ndarray, ...]:
    """Offsets of heel, ball, toe tip and ball joint.

    Args:
        ankle: (3,) its place.
        ball: (3,) place of the ball joint, if the foot has one.
        ahead: (3,) level direction of the foot.
        ends: where the sole ends along it, behind and before the ankle.
        floor: height of the sole over the ankle; negative.
    """
    up = np.array([0.0, 0.0, 1.0])
    if ball is None:
        joint = np.zeros(3)
        at_ball = ends[0] + _BALL * (ends[1] - ends[0])
    else:
        joint = ball - ankle
        at_ball = float(np.clip(joint @ ahead, ends[0] + 1e-3, ends[1]))
    heel = ends[0] * ahead + floor * up
    under_ball = at_ball * ahead + floor * up
    tip = ends[1] * ahead + floor * up - joint
    return heel, under_ball, tip, joint


def _heading(
    ankle: np.ndarray, ball: np.ndarray | None, tip: np.ndarray, other_ankle: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Level directions of a foot: ahead, and across it."""
    ahead = (tip if ball is None else ball) - ankle
    ahead = np.array([ahead[0], ahead[1], 0.0])
    length = np.linalg.norm(ahead)
    if length < 1e-6 and other_ankle is not None:  # the foot's bone points straight down
        across = other_ankle - ankle
        ahead = np.array([across[1], -across[0], 0.0])
        length = np.linalg.norm(ahead)
    ahead = ahead / length if length > 1e-6 else np.array([0.0, -1.0, 0.0])
    return ahead, np.array([-ahead[1], ahead[0], 0.0])
