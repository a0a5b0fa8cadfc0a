# SPDX-License-Identifier: GPL-3.0-or-later
"""A character out of another .blend: its armature with everything that hangs on it, appended to the scene."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import bpy

from ..provenance import KEY
from .problem import RetargetProblem


def append_character(scene: bpy.types.Scene, path: Path, name: str = "") -> bpy.types.Object:
    """Append a character to a scene, in a collection that is named after its file.

    Args:
        scene: where it goes.
        path: the .blend.
        name: of its armature; by default the only one, or the one that most skins hang on.

    Returns:
        The armature.

    Raises:
        RetargetProblem: the file cannot be read, or there is no telling which armature is meant.
    """
    path = path.absolute()
    if not path.is_file():
        raise RetargetProblem(f"The character's file {path} is not there.")
    if bpy.data.filepath and path.samefile(bpy.data.filepath):  # Blender 4.2 crashes
        raise RetargetProblem(f"{path} is the opened scene itself: name the character in it with --target.")
    try:
        with bpy.data.libraries.load(str(path), link=False) as (there, wanted):
            names = list(there.objects)
            wanted.objects = list(names)  # Blender puts the objects in their names' places
    except (OSError, RuntimeError) as error:
        raise RetargetProblem(f"{path} is not a .blend file that can be read: {error}") from error
    # appended names may have got a number behind them
    by_name = {called: one for called, one in zip(names, wanted.objects, strict=True) if one is not None}
    loaded = list(by_name.values())
    try:
        armature = _chosen(by_name, path, name)
    except RetargetProblem:
        bpy.data.batch_remove(loaded)
        raise
    family = _family(armature, loaded)
    collection = bpy.data.collections.new(path.stem)
    scene.collection.children.link(collection)
    for thing in family:
        collection.objects.link(thing)
    bpy.data.batch_remove([thing for thing in loaded if thing not in family and not thing.users])
    return armature


def _chosen(loaded: Mapping[str, bpy.types.Object], path: Path, name: str) -> bpy.types.Object:
    """The armature that is meant.

    Args:
        loaded: the file's objects by the names that they have in it.
        path: the file, for messages.
        name: of the armature; may be empty.
    """
    armatures = {called: one for called, one in loaded.items() if one.type == "ARMATURE" and KEY not in one}
    there = ", ".join(sorted(armatures))
    if not armatures:
        raise RetargetProblem(f"There is no armature in {path}, or only recovered bodies.")
    if name and name not in armatures:
        raise RetargetProblem(f"{path} has no armature {name}. There are: {there}.")
    if name:
        return armatures[name]
    skins = {
        called: sum(thing.find_armature() == one for thing in loaded.values())
        for called, one in armatures.items()
    }
    best = [called for called, count in skins.items() if count == max(skins.values())]
    if len(best) > 1:
        raise RetargetProblem(f"{path} has several armatures: {there}. Say which one with --target.")
    return armatures[best[0]]


def _family(armature: bpy.types.Object, loaded: list[bpy.types.Object]) -> list[bpy.types.Object]:
    """The armature, what it is parented to, what is parented to it, and the skins that it moves."""
    family = {armature, *armature.children_recursive}
    above = armature.parent
    while above is not None:
        family.add(above)
        above = above.parent
    family |= {thing for thing in loaded if thing.find_armature() == armature}
    return [thing for thing in loaded if thing in family]
