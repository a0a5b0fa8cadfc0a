# SPDX-License-Identifier: GPL-3.0-or-later
"""All or nothing: what a failed import made is removed, what it changed in the scene is put back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy

_KINDS = (
    "actions",
    "armatures",
    "cameras",
    "collections",
    "materials",
    "meshes",
    "movieclips",
    "objects",
)

_RENDER = ("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y")


@contextmanager
def undone_on_failure(scene: bpy.types.Scene) -> Iterator[None]:
    """Take everything back if the block raises, then let the error go on."""
    before = {kind: {block.session_uid for block in getattr(bpy.data, kind)} for kind in _KINDS}
    camera = scene.camera
    render = {name: getattr(scene.render, name) for name in _RENDER}
    try:
        yield
    except BaseException:
        made = [
            block
            for kind in _KINDS
            for block in getattr(bpy.data, kind)
            if block.session_uid not in before[kind]
        ]
        bpy.data.batch_remove(made)
        scene.camera = camera
        for name, value in render.items():
            setattr(scene.render, name, value)
        raise
