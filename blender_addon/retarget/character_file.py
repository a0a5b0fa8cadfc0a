# SPDX-License-Identifier: GPL-3.0-or-later
"""A character out of another .blend: its armature with everything that hangs on it, appended to the scene."""

from __future__ import annotations

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
    try:
        with bpy.data.libraries.load(str(path), link=False) as (_, wanted):
            wanted.objects = _.objects
    except (OSError, RuntimeError) as error:
        raise RetargetProblem(f"{path} is not a .blend file that can be read: {error}") from error
    loaded = [thing for thing in wanted.objects if thing is not None]
    armature = _chosen(loaded, path, name)
    family = _family(armature, loaded)
    collection = bpy.data.collections.new(path.stem)
    scene.collection.children.link(collection)
    for thing in family:
        collection.objects.link(thing)
    bpy.data.batch_remove([thing for thing in loaded if thing not in family and not thing.users])
    return armature


def _chosen(loaded: list[bpy.types.Object], path: Path, name: str) -> bpy.types.Object:
    """The armature that is meant; appended names may have got a number behind them."""
    armatures = [thing for thing in loaded if thing.type == "ARMATURE" and KEY not in thing]
    try:
        if not armatures:
            raise RetargetProblem(f"There is no armature in {path}, or only recovered bodies.")
        if name:
            named = [one for one in armatures if one.name == name or one.name.rpartition(".")[0] == name]
            if not named:
                there = ", ".join(one.name for one in armatures)
                raise RetargetProblem(f"{path} has no armature {name}. There are: {there}.")
            return min(named, key=lambda one: len(one.name))
        skins = {one: sum(thing.find_armature() == one for thing in loaded) for one in armatures}
        most = max(skins.values())
        best = [one for one in armatures if skins[one] == most]
        if len(best) > 1:
            there = ", ".join(one.name for one in best)
            raise RetargetProblem(f"{path} has several armatures: {there}. Say which one with --target.")
        return best[0]
    except RetargetProblem:
        bpy.data.batch_remove(loaded)
        raise


def _family(armature: bpy.types.Object, loaded: list[bpy.types.Object]) -> list[bpy.types.Object]:
    """The armature, what it is parented to, what is parented to it, and the skins that it moves."""
    family = {armature, *armature.children_recursive}
    above = armature.parent
    while above is not None:
        family.add(above)
        above = above.parent
    family |= {thing for thing in loaded if thing.find_armature() == armature}
    return [thing for thing in loaded if thing in family]
