# SPDX-License-Identifier: GPL-3.0-or-later
"""Windows show another scene for a moment: importers work nowhere else, and the user must not notice.

When a window goes back to its scene, Blender evaluates the animation there anew: poses that were changed and
not keyed yet would jump back to their keys. They are remembered and put back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import bpy

from ..compat import Placed

_KINDS = (
    "objects",
    "armatures",
    "meshes",
    "shape_keys",
    "cameras",
    "lights",
    "materials",
    "scenes",
    "curves",
)

_Value = tuple[bpy.types.ID, str, int, Any]
"""A data-block, the data path of one of its animated properties, the index in it, and its value."""


@contextmanager
def windows_kept(context: bpy.types.Context) -> Iterator[None]:
    """Have every window show its scene again after the block: glTF's exporter and all importers change it."""
    shown = [(window, window.scene, window.view_layer) for window in context.window_manager.windows]
    values = _animated_values()
    try:
        yield
    finally:
        for window, scene, layer in shown:
            if window.scene != scene:
                window.scene = scene
            if window.view_layer != layer:
                window.view_layer = layer
        _put_back(values)


@contextmanager
def showing(context: bpy.types.Context, scene: bpy.types.Scene) -> Iterator[None]:
    """Have a window show a scene inside the block, so that operators work there; see `windows_kept`."""
    window = context.window or context.window_manager.windows[0]
    with context.temp_override(window=window):
        before = window.scene
        window.scene = scene
        try:
            yield
        finally:
            window.scene = before


def _animated_values() -> list[_Value]:
    """The present value of everything that actions animate, whether it was keyed or only set."""
    values: list[_Value] = []
    for block in _animated_blocks():
        for path, index in _animated_paths(block.animation_data):
            with contextlib.suppress(ValueError, IndexError, TypeError):  # the property is gone
                value = block.path_resolve(path)
                values.append((block, path, index, value[index] if _is_array(value) else value))
    return values


def _put_back(values: list[_Value]) -> None:
    for block, path, index, value in values:
        owner, name = _owner(block, path)
        present = block.path_resolve(path)
        if _is_array(present):
            if present[index] != value:
                present[index] = value
        elif present != value:
            if name.startswith('["'):
                owner[name[2:-2]] = value
            else:
                setattr(owner, name, value)


def _animated_blocks() -> Iterator[bpy.types.ID]:
    for kind in _KINDS:
        for block in getattr(bpy.data, kind):
            if block.animation_data is not None and block.library is None:
                yield block


def _animated_paths(animation: bpy.types.AnimData) -> set[tuple[str, int]]:
    placed = [Placed.on(animation)]
    placed += [Placed.on(strip) for track in animation.nla_tracks for strip in track.strips]
    return {(curve.data_path, curve.array_index) for one in placed if one for curve in one.curves()}


def _owner(block: bpy.types.ID, path: str) -> tuple[Any, str]:
    """What has a property, and the property's name as it stands at the end of its path."""
    cut = path.rindex("[") if path.endswith('"]') else path.rfind(".") + 1
    start = path[:cut].rstrip(".")
    return (block.path_resolve(start) if start else block), path[cut:]


def _is_array(value: object) -> bool:
    return not isinstance(value, (str, bytes)) and hasattr(value, "__getitem__")
