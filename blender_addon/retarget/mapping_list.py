# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of bones that the artist sees and edits, one for each character of a scene.

The list is what counts: detection, presets and files fill it, and retargeting reads it, so that nothing else
than what can be seen is used. A part of the body that is played by several bones has a row for each.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_n as n_

from .mapping import AXIAL, REQUIRED, ROLES, BoneMap, IkControl, Setting, Twist

PARTS = {
    "pelvis": n_("Pelvis"),
    "left_hip": n_("Left Thigh"),
    "right_hip": n_("Right Thigh"),
    "spine1": n_("Lower Spine"),
    "left_knee": n_("Left Shin"),
    "right_knee": n_("Right Shin"),
    "spine2": n_("Middle Spine"),
    "left_ankle": n_("Left Foot"),
    "right_ankle": n_("Right Foot"),
    "spine3": n_("Chest"),
    "left_foot": n_("Left Toes"),
    "right_foot": n_("Right Toes"),
    "neck": n_("Neck"),
    "left_collar": n_("Left Shoulder"),
    "right_collar": n_("Right Shoulder"),
    "head": n_("Head"),
    "left_shoulder": n_("Left Upper Arm"),
    "right_shoulder": n_("Right Upper Arm"),
    "left_elbow": n_("Left Forearm"),
    "right_elbow": n_("Right Forearm"),
    "left_wrist": n_("Left Hand"),
    "right_wrist": n_("Right Hand"),
}
"""What artists call the roles: a role is named after the joint at which its bone begins."""

ORDER = (
    *("pelvis", "spine1", "spine2", "spine3", "neck", "head"),
    *(
        f"{side}_{joint}"
        for side in ("left", "right")
        for joint in ("collar", "shoulder", "elbow", "wrist", "hip", "knee", "ankle", "foot")
    ),
)
"""The roles as the list shows them: up the spine, then the left side, then the right."""


def armature_of(thing: bpy.types.Object | None) -> bpy.types.Object | None:
    """The armature that an object is, or that moves its skin; None when there is none."""
    if thing is not None and thing.type == "MESH":
        thing = thing.find_armature()
    return thing if thing is not None and thing.type == "ARMATURE" else None


def find_list(
    settings: bpy.types.PropertyGroup, target: bpy.types.Object | None
) -> bpy.types.PropertyGroup | None:
    """The list of a character; None when it has none yet."""
    return next((one for one in settings.lists if target is not None and one.target == target), None)


def make_list(settings: bpy.types.PropertyGroup, target: bpy.types.Object) -> bpy.types.PropertyGroup:
    """The list of a character, made when missing; lists of characters that are gone are removed."""
    for index in reversed(range(len(settings.lists))):
        owner = settings.lists[index].target
        if owner is None or not owner.users_scene:
            settings.lists.remove(index)
    found = find_list(settings, target)
    if found is None:
        found = settings.lists.add()
        found.target = target
        _fill_rows(found, {})
    return found


def fill(listed: bpy.types.PropertyGroup, bone_map: BoneMap, says: str = "", score: float = 0.0) -> None:
    """Write a mapping into a list.

    Args:
        listed: the list.
        bone_map: the mapping.
        says: what detection said of it.
        score: how well it fits, 0..1; 0 when nobody knows.
    """
    _fill_rows(listed, bone_map.bones)
    listed.root = bone_map.root
    listed.extras = json.dumps(
        {
            "settings": [[one.bone, one.property, one.value] for one in bone_map.settings],
            "twists": [[one.bone, one.role, one.share] for one in bone_map.twists],
            "ik": [[one.role, one.target, one.base, one.pole] for one in bone_map.ik],
        },
        ensure_ascii=False,
    )
    listed.preset = bone_map.name
    listed.says, listed.score = says, score
    listed.filled = _content(listed)


def _fill_rows(listed: bpy.types.PropertyGroup, bones: Mapping[str, tuple[str, ...]]) -> None:
    listed.bones.clear()
    for role in ORDER:
        for bone in bones.get(role) or ("",):
            row = listed.bones.add()
            row.role, row.bone = role, bone


def read(listed: bpy.types.PropertyGroup) -> BoneMap:
    """The mapping that a list says."""
    bones: dict[str, tuple[str, ...]] = {}
    for row in listed.bones:
        if row.bone:
            bones[row.role] = (*bones.get(row.role, ()), row.bone)
    extras = json.loads(listed.extras) if listed.extras else {"settings": (), "twists": (), "ik": ()}
    return BoneMap(
        bones=bones,
        root=listed.root,
        settings=tuple(Setting(*one) for one in extras["settings"]),
        twists=tuple(Twist(*one) for one in extras["twists"]),
        ik=tuple(IkControl(*one) for one in extras["ik"]),
        name=listed.preset,
    )


def is_edited(listed: bpy.types.PropertyGroup) -> bool:
    """Whether a list was changed since it was filled."""
    return listed.filled != _content(listed)


def add_row(listed: bpy.types.PropertyGroup, role: str) -> int:
    """Add an empty row behind those of a role.

    Returns:
        Its index.
    """
    last = max((index for index, row in enumerate(listed.bones) if row.role == role), default=-1)
    listed.bones.add().role = role
    listed.bones.move(len(listed.bones) - 1, last + 1)
    return last + 1


def clear_row(listed: bpy.types.PropertyGroup, index: int) -> None:
    """Take the bone out of a row; the row goes too when its role has others."""
    role = listed.bones[index].role
    if sum(row.role == role for row in listed.bones) > 1:
        listed.bones.remove(index)
    else:
        listed.bones[index].bone = ""


def takes_several(role: str) -> bool:
    """Whether it makes sense to give a role several bones."""
    return role in AXIAL


def problems(listed: bpy.types.PropertyGroup, target: bpy.types.Object) -> list[str]:
    """What is wrong with each row, in the order of the rows; empty texts where nothing is."""
    there = target.data.bones
    used = Counter(row.bone for row in listed.bones if row.bone)
    filled = {row.role for row in listed.bones if row.bone}
    return [_problem(row, there, used, filled) for row in listed.bones]


def _problem(
    row: bpy.types.PropertyGroup, there: bpy.types.ArmatureBones, used: Counter[str], filled: set[str]
) -> str:
    if not row.bone:
        if row.role in REQUIRED and row.role not in filled:
            return iface_("No bone plays the {}: choose one").format(iface_(PARTS[row.role]))
        return ""
    if row.bone not in there:
        return iface_('{}: the rig has no bone "{}"').format(iface_(PARTS[row.role]), row.bone)
    if used[row.bone] > 1:
        return iface_('{}: the bone "{}" is in the list more than once').format(
            iface_(PARTS[row.role]), row.bone
        )
    return ""


def problem_of_list(listed: bpy.types.PropertyGroup, target: bpy.types.Object) -> str:
    """Why a list cannot be used; empty when it can be."""
    problem = next(filter(None, problems(listed, target)), "")
    if not problem and listed.root and listed.root not in target.data.bones:
        problem = iface_('Root Bone: the rig has no bone "{}"').format(listed.root)
    return problem


def count(listed: bpy.types.PropertyGroup, target: bpy.types.Object) -> int:
    """How many roles are played by bones that are there."""
    return len({row.role for row in listed.bones if row.bone and row.bone in target.data.bones})


def title(listed: bpy.types.PropertyGroup, target: bpy.types.Object) -> str:
    """A list in a few words, such as "Mixamo, 21 of 22 bones"."""
    name = listed.preset or iface_("Own List")
    if listed.preset and is_edited(listed):
        name = iface_("{} (changed)").format(name)
    return iface_("{}, {} of {} bones").format(name, count(listed, target), len(ROLES))


def verdict(listed: bpy.types.PropertyGroup) -> str:
    """How well a list fits, and what detection said of it, as long as nobody has edited it; may be empty."""
    if not listed.score or is_edited(listed):
        return ""
    return f"{listed.says} {iface_('Match: {:.0f}%.').format(100 * listed.score)}".strip()


def extras_in_words(listed: bpy.types.PropertyGroup) -> str:
    """What else a list carries, in a few words; empty when it carries nothing."""
    bone_map = read(listed)
    counted = (
        (iface_("Twist bones: {}"), len(bone_map.twists)),
        (iface_("IK controls: {}"), len(bone_map.ik)),
        (iface_("Settings of the rig: {}"), len(bone_map.settings)),
    )
    return ". ".join(text.format(number) for text, number in counted if number)


def _content(listed: bpy.types.PropertyGroup) -> str:
    return json.dumps([listed.root, listed.extras, *([row.role, row.bone] for row in listed.bones)])


def rows(listed: bpy.types.PropertyGroup) -> Iterator[tuple[int, bpy.types.PropertyGroup, bool]]:
    """The rows with their indices, and whether each is the first of its role."""
    before = ""
    for index, row in enumerate(listed.bones):
        yield index, row, row.role != before
        before = row.role
