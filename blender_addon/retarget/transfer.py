# SPDX-License-Identifier: GPL-3.0-or-later
"""The rotations that a rig's bones should have, from the turns of the recovered body.

A bone's goal is ``D A F R``: R is its rest rotation in the world, F turns the rig the way the source faces, A
brings the rest poses together, and D is how far the source's bone has turned away from its rest, about the
world's axes. Nothing of it depends on the roll, the name, the length or the parents of a bone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..leg_pose import turned
from ..rotations import quat_from_matrix, quat_inverse, quat_multiply, slerp, without_sign_jumps
from ..skeleton import INDEX, JOINT_NAMES
from .mapping import BoneMap
from .options import Options
from .rest_alignment import align_rests, facing, figure_axes
from .source_motion import SourceMotion
from .target_rig import TargetRig

_SPINE = ("spine1", "spine2", "spine3")


@dataclass(frozen=True)
class Goals:
    """What the bones should do, in the world.

    Attributes:
        turns: bone to its rotations (T, 4).
        upright: (B, 4) rest rotations of all controls, the rig facing as the source does.
        facing: (3, 3) the rotation that makes it face so.
        axes: (3, 3) of the figure at rest then, as columns: its left, its back, up.
        limb_turns: role to the turns (T, 4) of its bones away from `upright`.
    """

    turns: dict[str, np.ndarray]
    upright: np.ndarray
    facing: np.ndarray
    axes: np.ndarray
    limb_turns: dict[str, np.ndarray]


def goal_turns(source: SourceMotion, rig: TargetRig, bone_map: BoneMap, options: Options) -> Goals:
    """The rotations of all mapped bones and twist bones."""
    joints = rig.joints(bone_map)
    towards = facing(source.axes, figure_axes(joints), rig.object_turn)
    upright = quat_multiply(quat_from_matrix(towards), rig.turns)
    alignment: dict[str, np.ndarray] = {}
    if options.alignment == "DIRECTIONS":
        at = dict(zip(JOINT_NAMES, source.rest_joints, strict=True))
        ahead = -source.axes[:, 1]  # the thumbs of a T-pose with its palms down
        thumbs = {role: (ahead, towards @ thumb) for role, thumb in rig.thumbs.items()}
        for side in ("left", "right"):  # a foot without toes points where its bone ends
            foot = bone_map.bones[f"{side}_ankle"][-1]
            joints.setdefault(f"{side}_foot", rig.tails[rig.index(foot)])
        standing = {role: towards @ place for role, place in joints.items()}
        alignment = align_rests(at, standing, source.axes[:, 2], thumbs)

    turns: dict[str, np.ndarray] = {}
    limb_turns: dict[str, np.ndarray] = {}
    for role, names in bone_map.bones.items():
        if role in _SPINE:
            continue
        turn = source.turns[:, INDEX[role]]
        if role in alignment:
            turn = quat_multiply(turn, alignment[role])
        limb_turns[role] = turn
        shares = np.ones(len(names))
        if role in ("neck", "head"):
            shares = np.arange(1, len(names) + 1) / len(names)
        for name, share in zip(names, shares, strict=True):
            taken = (
                turn if share == 1 else slerp(_below(source, role, bone_map), turn, np.full(len(turn), share))
            )
            turns[name] = quat_multiply(taken, upright[rig.index(name)])
    turns |= _spine(source, rig, bone_map, upright)
    for twist in bone_map.twists:
        turn = _twisted(source, bone_map, limb_turns, twist.role, twist.share)
        if turn is not None:
            turns[twist.bone] = quat_multiply(turn, upright[rig.index(twist.bone)])
    return Goals(
        {name: without_sign_jumps(turn) for name, turn in turns.items()},
        upright,
        towards,
        source.axes,
        limb_turns,
    )


def _spine(
    source: SourceMotion, rig: TargetRig, bone_map: BoneMap, upright: np.ndarray
) -> dict[str, np.ndarray]:
    """Rotations of the spine's bones, however many there are: the bend is shared out evenly.

    Three bones get those of SMPL's three; the uppermost always has that of the chest, which carries neck and
    arms.
    """
    names = [name for role in _SPINE for name in bone_map.bones.get(role, ())]
    knots = np.stack([source.turns[:, INDEX[role]] for role in ("pelvis", *_SPINE)])
    turns = {}
    for number, name in enumerate(names):
        position = 3 * (number + 1) / len(names)
        below = min(int(position - 1e-9), 2)
        share = np.full(knots.shape[1], position - below)
        turn = (
            knots[below + 1] if position - below > 1 - 1e-9 else slerp(knots[below], knots[below + 1], share)
        )
        turns[name] = quat_multiply(turn, upright[rig.index(name)])
    return turns


def _below(source: SourceMotion, role: str, bone_map: BoneMap) -> np.ndarray:
    """Turns (T, 4) of what a neck or head stands on."""
    below = "neck" if role == "head" and bone_map.bones.get("neck") else "spine3"
    return source.turns[:, INDEX[below]]


def _twisted(
    source: SourceMotion, bone_map: BoneMap, limb_turns: dict[str, np.ndarray], role: str, share: float
) -> np.ndarray | None:
    """Turns (T, 4) of a helper that shares the roll about a limb; None when there is nothing to share."""
    side, part = role.split("_")
    following = {"shoulder": "elbow", "elbow": "wrist", "hip": "knee", "knee": "ankle"}[part]
    own = limb_turns[role]
    along = source.rest_joints[INDEX[f"{side}_{following}"]] - source.rest_joints[INDEX[role]]
    along = along / np.linalg.norm(along)
    if part in ("elbow", "knee"):  # some of the hand's or foot's roll comes up the limb
        if not bone_map.bones.get(f"{side}_{following}"):
            return None
        inner, outer = source.turns[:, INDEX[role]], source.turns[:, INDEX[f"{side}_{following}"]]
    else:  # some of the limb's own roll is held back at the trunk
        above = INDEX[f"{side}_collar"] if part == "shoulder" else INDEX["pelvis"]
        inner, outer, share = source.turns[:, above], source.turns[:, INDEX[role]], -share
    relative = quat_multiply(quat_inverse(inner), outer)
    angle = np.unwrap(2 * np.arctan2(relative[:, 1:] @ along, relative[:, 0]))
    angle = angle - 2 * np.pi * np.round(angle[0] / (2 * np.pi))
    axis = turned(source.turns[:, INDEX[role]], along)
    half = share * angle / 2
    roll = np.concatenate([np.cos(half)[:, None], np.sin(half)[:, None] * axis], axis=1)
    return quat_multiply(roll, own)
