# SPDX-License-Identifier: GPL-3.0-or-later
"""The artist's rig as the retargeting sees it: its controls at rest in the world, and what is in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import bpy
import numpy as np

from ..rotations import quat_from_matrix
from .following import location_axes
from .mapping import ROLES, BoneMap
from .options import Options
from .problem import RetargetProblem
from .rig_pose import Channel

_UNEVEN = 1e-3


@dataclass(frozen=True)
class TargetRig:
    """Controls of a rig at rest, in the world: metres, z up.

    Attributes:
        controls: names of the pose bones that the motion may go to.
        turns: (B, 4) rest rotations, from the bone's axes to the world's.
        heads: (B, 3) where they begin.
        tails: (B, 3) where they end.
        channels: how each of them turns.
        object_turn: (3, 3) rotation of the armature object.
        object_scale: its scale.
        object_place: (3,) its location.
        thumbs: ``left_wrist`` and ``right_wrist`` to the direction (3,) from the wrist to the thumb's root.
    """

    controls: tuple[str, ...]
    turns: np.ndarray
    heads: np.ndarray
    tails: np.ndarray
    channels: tuple[Channel, ...]
    object_turn: np.ndarray
    object_scale: float
    object_place: np.ndarray
    thumbs: dict[str, np.ndarray]

    def index(self, name: str) -> int:
        """Number of a control."""
        return self.controls.index(name)

    def joints(self, bone_map: BoneMap) -> dict[str, np.ndarray]:
        """Role to the place (3,) of its joint at rest: the head of its first bone."""
        return {role: self.heads[self.index(names[0])] for role, names in bone_map.bones.items() if names}

    def to_armature(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of the world in armature space."""
        return (points - self.object_place) @ self.object_turn / self.object_scale

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 3) of armature space in the world."""
        return self.object_scale * points @ self.object_turn.T + self.object_place


def check_target(rig: bpy.types.Object, bone_map: BoneMap) -> None:
    """Whether a motion can go to a rig at all.

    Raises:
        RetargetProblem: it cannot; says why and what to do.
    """
    if rig is None or rig.type != "ARMATURE":
        raise RetargetProblem("Choose the armature of your character as the target.")
    override = rig.override_library
    if rig.library is not None or (override is not None and override.is_system_override):
        raise RetargetProblem(
            f"{rig.name} is linked from another file and cannot be changed here. Make a library override of"
            " it (Object > Library Override > Make)."
        )
    scale = np.array(rig.matrix_world.to_scale())
    if scale.min() <= 0 or np.linalg.det(np.array(rig.matrix_world)[:3, :3]) <= 0:
        raise RetargetProblem(
            f"{rig.name} is mirrored or flat: its scale is {_said(scale)}. Apply it (Object > Apply > Scale)."
        )
    if np.ptp(scale) > _UNEVEN * scale.max():
        raise RetargetProblem(
            f"{rig.name} is not scaled the same in all directions: {_said(scale)}. Apply its scale (Object >"
            " Apply > Scale), or that of the object that it is a child of."
        )
    if rig.data.is_editmode:
        raise RetargetProblem(f"{rig.name} is in Edit Mode. Go back to Object Mode or Pose Mode.")
    if rig.data.pose_position == "REST":
        raise RetargetProblem(
            f"{rig.name} is held in its rest position. Switch it to Pose Position (Armature properties)."
        )
    animation = rig.animation_data
    if animation is not None and animation.use_tweak_mode:
        raise RetargetProblem(
            f"{rig.name} is in the tweak mode of the NLA editor. Leave it first (Tab in the NLA editor)."
        )
    missing = bone_map.missing()
    if missing:
        raise RetargetProblem(
            f"No bone of {rig.name} is chosen for: {', '.join(_role(role) for role in missing)}. Choose one"
            " in the list of bones."
        )
    used: dict[str, str] = {}
    for role, names in bone_map.bones.items():
        if role not in ROLES:
            raise RetargetProblem(f"There is no part of the body called {role}. Detect the rig again.")
        for name in names:
            if name not in rig.pose.bones:
                raise RetargetProblem(
                    f"{rig.name} has no bone {name}, which is chosen for {_role(role)}. Choose another, or"
                    " detect the rig again."
                )
            if name in used:
                raise RetargetProblem(
                    f"The bone {name} is chosen twice: for {used[name]} and for {_role(role)}. Clear one of"
                    " them."
                )
            used[name] = _role(role)


def usable(rig: bpy.types.Object, bone_map: BoneMap, options: Options) -> BoneMap:
    """A map without the extra bones that a rig lacks, or that are not wanted.

    Raises:
        RetargetProblem: a root bone is wanted, and there is none.
    """
    bones = rig.pose.bones
    if options.root == "BONE" and bone_map.root not in bones:
        what = f"The bone {bone_map.root}" if bone_map.root else "A root bone"
        raise RetargetProblem(
            f"{what} is to carry {rig.name}, but it has none. Choose its root bone in the list, or let the"
            " pelvis carry the motion."
        )
    roles = {role: tuple(names) for role, names in bone_map.bones.items() if names}
    taken = {name for names in roles.values() for name in names}
    return BoneMap(
        bones=roles,
        root=bone_map.root if options.root == "BONE" else "",
        settings=tuple(
            one for one in bone_map.settings if one.bone in bones and one.property in bones[one.bone]
        ),
        twists=tuple(
            one
            for one in bone_map.twists
            if options.twists and one.bone in bones and one.bone not in taken and one.role in roles
        ),
        ik=tuple(one for one in bone_map.ik if options.ik and one.target in bones and one.role in roles),
        name=bone_map.name,
    )


def controls_of(bone_map: BoneMap) -> tuple[str, ...]:
    """Names of all bones that a map can key, each once."""
    names = [bone_map.root] if bone_map.root else []
    names += [name for role in ROLES for name in bone_map.bones.get(role, ())]
    names += [twist.bone for twist in bone_map.twists]
    names += [name for ik in bone_map.ik for name in (ik.target, ik.pole) if name]
    return tuple(dict.fromkeys(names))


def read_target(rig: bpy.types.Object, bone_map: BoneMap, *, as_posed: bool = False) -> TargetRig:
    """Read a rig's controls.

    Args:
        rig: the armature, checked.
        bone_map: its bones.
        as_posed: take the pose that it is in now for its rest pose.
    """
    controls = controls_of(bone_map)
    matrix = np.array(rig.matrix_world)
    scale = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
    turn = matrix[:3, :3] / scale
    bones = [rig.pose.bones[name] for name in controls]
    rests = np.array([bone.matrix if as_posed else bone.bone.matrix_local for bone in bones])
    rotations = rests[:, :3, :3] / np.linalg.norm(rests[:, :3, :3], axis=1, keepdims=True)
    lengths = np.array([bone.bone.length for bone in bones])
    heads = rests[:, :3, 3]
    tails = heads + rotations[:, :, 1] * lengths[:, None]

    def to_world(points: np.ndarray) -> np.ndarray:
        return points @ matrix[:3, :3].T + matrix[:3, 3]

    thumbs = {}
    for wrist in ("left_wrist", "right_wrist"):
        names = bone_map.bones.get(wrist, ())
        thumb = names and _thumb(rig.pose.bones[names[-1]])
        if thumb:
            ends = [np.array((b.matrix if as_posed else b.bone.matrix_local).translation) for b in thumb]
            thumbs[wrist] = turn @ (ends[1] - ends[0])
    return TargetRig(
        controls=controls,
        turns=quat_from_matrix(turn @ rotations),
        heads=to_world(heads),
        tails=to_world(tails),
        channels=tuple(_channel(bone) for bone in bones),
        object_turn=turn,
        object_scale=scale,
        object_place=matrix[:3, 3],
        thumbs=thumbs,
    )


def _channel(bone: bpy.types.PoseBone) -> Channel:
    return Channel(
        mode=bone.rotation_mode,
        locked=tuple(bone.lock_rotation),
        angles=np.array(
            bone.rotation_euler
            if len(bone.rotation_mode) == 3
            else bone.matrix_basis.to_quaternion().to_euler("XYZ")
        ),
        location_axes=location_axes(bone.bone),
    )


def _thumb(hand: bpy.types.PoseBone) -> tuple[bpy.types.PoseBone, bpy.types.PoseBone] | None:
    """A hand and the root of its thumb, if a bone below it says so by its name."""
    for below in hand.children_recursive:
        if "thumb" in below.name.lower():
            return hand, below
    return None


def _role(role: str) -> str:
    return role.replace("_", " ")


def _said(scale: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in scale)
