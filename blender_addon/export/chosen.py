# SPDX-License-Identifier: GPL-3.0-or-later
"""Which characters are meant, how they are to be exported, and what their files are called."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import bpy

from ..mesh import rig_of
from .options import SUFFIXES, ExportOptions, Format
from .sampling import action_name


def character_of(thing: bpy.types.Object | None) -> bpy.types.Object | None:
    """The armature that an object is, or that moves it; None when there is none."""
    if thing is None or thing.type == "ARMATURE":
        return thing
    if thing.type == "MESH" and (rig := rig_of(thing)) is not None:
        return rig
    return thing.parent if thing.parent is not None and thing.parent.type == "ARMATURE" else None


def selected_characters(context: bpy.types.Context) -> list[bpy.types.Object]:
    """The characters that are selected, by their armatures or their skins."""
    chosen = [character_of(thing) for thing in context.view_layer.objects.selected]
    return list(dict.fromkeys(one for one in chosen if one is not None))


def is_animated(armature: bpy.types.Object) -> bool:
    """Whether an action or an NLA strip moves an armature."""
    animation = armature.animation_data
    return animation is not None and (
        animation.action is not None or any(track.strips for track in animation.nla_tracks)
    )


def options_of(settings: bpy.types.PropertyGroup) -> ExportOptions:
    """The scene's settings as options."""
    return ExportOptions(
        preset=settings.preset,
        frames=settings.frames,
        start=settings.start,
        end=settings.end,
        deform_only=settings.deform_only,
        meshes=settings.meshes,
        centimetres=settings.centimetres,
        check=settings.check,
        body=Path(bpy.path.abspath(settings.body)) if settings.body else None,
    )


def file_name(armature: bpy.types.Object, kind: Format) -> str:
    """A file for a character and its motion: `walk.person01.fbx`, or `Hero.walk.person01.fbx`."""
    action = action_name(armature)
    name = action if armature.name in action else f"{armature.name}.{action}"
    plain = "".join("_" if sign in '<>:"/\\|?*' or ord(sign) < 32 else sign for sign in name)
    return plain + SUFFIXES[kind][0]


def files_in(folder: Path, armatures: Iterable[bpy.types.Object], kind: Format) -> list[Path]:
    """A file for each character in a folder, no two of them the same."""
    files: list[Path] = []
    for armature in armatures:
        file = folder / file_name(armature, kind)
        number = 2
        while file in files:
            stem = file_name(armature, kind).removesuffix(SUFFIXES[kind][0])
            file = folder / f"{stem}_{number}{SUFFIXES[kind][0]}"
            number += 1
        files.append(file)
    return files
