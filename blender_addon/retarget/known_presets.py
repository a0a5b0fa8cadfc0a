# SPDX-License-Identifier: GPL-3.0-or-later
"""Which presets there are, and the list of bones that comes from one of them or from detection."""

from __future__ import annotations

import time
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as iface_

from .detection import detect
from .mapping import BoneMap
from .mapping_list import fill, find_list, make_list, problem_of_list, read
from .preset import Preset
from .preset_file import (
    UserPresets,
    built_in_presets,
    identifier,
    load_preset,
    save_preset,
    spelled_alike,
    user_presets,
)
from .problem import RetargetProblem
from .rig_bones import presets_folder, rig_bones

_seen: tuple[float, UserPresets] = (0.0, UserPresets())


def own_presets() -> UserPresets:
    """The user's own presets; looks at most every 5 s."""
    global _seen
    if time.monotonic() > _seen[0]:
        _seen = (time.monotonic() + 5.0, user_presets(presets_folder()))
    return _seen[1]


def look_again() -> None:
    """Look into the folder at the next occasion, as it was changed."""
    global _seen
    _seen = (0.0, UserPresets())


def find_preset(name: str) -> Preset:
    """A preset by its id, or by its name.

    Raises:
        RetargetProblem: there is none.
    """
    presets = (*built_in_presets(), *own_presets().presets)
    for preset in presets:
        if name == preset.id or spelled_alike(name) == spelled_alike(preset.name):
            return preset
    there = ", ".join(preset.name for preset in presets)
    raise RetargetProblem(f'There is no preset "{name}". There are: {there}.')


def save_own(bone_map: BoneMap, name: str) -> Preset:
    """Save a mapping among the user's own presets; one of that name is replaced.

    Raises:
        RetargetProblem: it could not be saved.
    """
    look_again()
    return save_preset(presets_folder() / f"{identifier(name)}.json", bone_map, name)


def remove_own(name: str) -> str:
    """Remove one of the user's own presets.

    Returns:
        Its name in menus.

    Raises:
        RetargetProblem: it is none of them, or cannot be removed.
    """
    look_again()
    for path in sorted(presets_folder().glob("*.json")):
        try:
            preset = load_preset(path)
        except RetargetProblem:
            continue
        if name in (preset.id, preset.name):
            try:
                path.unlink()
            except OSError as error:
                raise RetargetProblem(f"{path} could not be removed: {error.strerror or error}.") from error
            return preset.name
    raise RetargetProblem(f'You have no preset "{name}".')


# --- lists of bones


def detect_into(scene: bpy.types.Scene, target: bpy.types.Object) -> bpy.types.PropertyGroup:
    """Find out what kind of rig a character has, and fill its list.

    Raises:
        RetargetProblem: nothing was recognised; its list has not changed then.
    """
    found = detect(rig_bones(target), (*built_in_presets(), *own_presets().presets))
    if not found:
        raise RetargetProblem(
            f"No body was recognised in the bones of {target.name}. Choose a preset, or choose its bones by"
            " hand in the list."
        )
    listed = make_list(scene.recover_motion_retarget, target)
    fill(listed, found[0].bone_map, found[0].says, found[0].score)
    return listed


def fill_from(scene: bpy.types.Scene, target: bpy.types.Object, name: str) -> bpy.types.PropertyGroup:
    """Fill a character's list from a preset.

    Raises:
        RetargetProblem: there is no such preset, or the character has no bones of it.
    """
    return _fill(scene, target, find_preset(name))


def fill_from_file(scene: bpy.types.Scene, target: bpy.types.Object, path: Path) -> bpy.types.PropertyGroup:
    """Fill a character's list from a preset's file.

    Raises:
        RetargetProblem: the file is no preset, or the character has no bones of it.
    """
    return _fill(scene, target, load_preset(path))


def _fill(scene: bpy.types.Scene, target: bpy.types.Object, preset: Preset) -> bpy.types.PropertyGroup:
    bone_map = preset.bone_map(target.data.bones.keys())
    if not bone_map.bones:
        raise RetargetProblem(
            f"{target.name} has no bones of the preset {preset.name}. Choose another, or detect it."
        )
    # its score alone: what detection finds besides by the places of bones was not asked for
    scores = [one.score for one in detect(rig_bones(target), (preset,)) if one.id == preset.id]
    listed = make_list(scene.recover_motion_retarget, target)
    fill(listed, bone_map, score=max(scores, default=0.0))
    return listed


def mapping_of(scene: bpy.types.Scene, target: bpy.types.Object) -> BoneMap:
    """The mapping for a character: what its list says; where it has none, it is detected and filled first.

    Raises:
        RetargetProblem: nothing was recognised, or the list cannot be used as it is.
    """
    listed = find_list(scene.recover_motion_retarget, target)
    if listed is None:
        listed = detect_into(scene, target)
    if problem := problem_of_list(listed, target):
        raise RetargetProblem(iface_("The bones of {} are not complete. {}.").format(target.name, problem))
    return read(listed)
