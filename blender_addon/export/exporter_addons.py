# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's own add-ons for FBX, BVH and glTF, switched on for a moment where they are off."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import addon_utils
import bpy

from .options import ExportProblem, Format

_NEEDED: Final[dict[Format, tuple[str, str]]] = {
    "FBX": ("io_scene_fbx", "FBX format"),
    "BVH": ("io_anim_bvh", "BioVision Motion Capture (BVH) format"),
    "GLB": ("io_scene_gltf2", "glTF 2.0 format"),
    "GLTF": ("io_scene_gltf2", "glTF 2.0 format"),
}
"""Module and title of the add-on that writes and reads a format; the others are part of Blender itself."""

_BUILT_IN: Final[dict[Format, str]] = {"USD": "usd", "ALEMBIC": "alembic"}
"""Parts of Blender that distributions may leave out."""


@contextmanager
def exporter_of(kind: Format) -> Iterator[None]:
    """Have the operators of a format inside the block.

    Raises:
        ExportProblem: its add-on is not there or does not start, or Blender was built without it.
    """
    part = _BUILT_IN.get(kind)
    if part and not getattr(bpy.app.build_options, part, True):
        raise ExportProblem(
            f"This Blender was built without {part.upper() if part == 'usd' else part.title()}. Use one from"
            " blender.org, or choose another format."
        )
    module, title = _NEEDED.get(kind, ("", ""))
    if not module or addon_utils.check(module)[1]:
        yield
        return
    said: list[BaseException] = []
    started = addon_utils.enable(module, default_set=False, persistent=False, handle_error=said.append)
    if started is None:
        why = f" ({said[0]})" if said else ""
        raise ExportProblem(
            f'Blender\'s add-on "{title}" is switched off and could not be started{why}. Tick it under'
            " Edit, Preferences, Add-ons, or repair this Blender."
        )
    try:
        yield
    finally:
        addon_utils.disable(module, default_set=False)
