# SPDX-License-Identifier: GPL-3.0-or-later
"""All characters by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import bpy
from mathutils import Matrix

from .cartoon import cartoon, cartoon_plain
from .makehuman import figure
from .mannequin import mannequin, with_engine_axes
from .rig_from_arrays import Character, RigArrays, build, placed
from .rigify_human import rigify_human

_RIGS: dict[str, Callable[[], RigArrays]] = {
    "mixamo": lambda: figure("mixamo", "tall"),
    "game_engine": lambda: figure("game_engine", "heavy"),
    "cmu_mb": lambda: figure("cmu_mb", "short"),
    "default": lambda: figure("default", "child"),
    "mannequin": mannequin,
    "mannequin_axes": lambda: with_engine_axes(mannequin()),
    "fbx_mixamo": lambda: figure("mixamo", "athlete"),
    "cartoon": cartoon,
    "cartoon_plain": cartoon_plain,
}

CHARACTERS = (*_RIGS, "rigify")
"""Names for `character`."""

FBX = Matrix.Rotation(1.5707963267948966, 4, "X") @ Matrix.Scale(0.01, 4)
"""The transform that importers of FBX give objects whose data are centimetres with y up."""


@cache
def _arrays(name: str) -> RigArrays:
    return _RIGS[name]()


def character(name: str, scene: bpy.types.Scene) -> Character:
    """Build a character in the scene of the current context.

    Args:
        name: one of `CHARACTERS`.
        scene: it is linked to its collection.
    """
    if name == "rigify":
        made = rigify_human(scene)
        bpy.context.view_layer.update()
        return made
    made = build(scene, name, _arrays(name))
    if name == "fbx_mixamo":
        placed(made, FBX)
    bpy.context.view_layer.update()
    return made
