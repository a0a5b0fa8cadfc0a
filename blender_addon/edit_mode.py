# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit Mode for a moment: bones can be made nowhere else, and the user must not notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import bpy


@contextmanager
def edit_mode(context: bpy.types.Context, thing: bpy.types.Object) -> Iterator[None]:
    """Put an object into Edit Mode inside the block; mode, active object and selection come back after it."""
    layer = context.view_layer
    active = layer.objects.active
    mode = active.mode if active else "OBJECT"
    sharing = [item for item in layer.objects if item.mode == mode != "OBJECT"]  # several can be in one mode
    selected = list(layer.objects.selected)
    if active and mode != "OBJECT":
        _set_mode(context, active, "OBJECT")
    try:
        _select_only(layer, [thing], thing)
        _set_mode(context, thing, "EDIT")
        try:
            yield
        finally:
            _set_mode(context, thing, "OBJECT")
    finally:
        _select_only(layer, sharing, active)
        if active and mode != "OBJECT":
            _set_mode(context, active, mode)
        _select_only(layer, selected, active)


def _set_mode(context: bpy.types.Context, thing: bpy.types.Object, mode: str) -> None:
    """Change the mode of the active object, in a context with or without a window."""
    # The operator takes the active object of the window's scene, which need not be the caller's; and it
    # needs a window, which a timer may lack.
    place = {
        "scene": context.scene,
        "view_layer": context.view_layer,
        "active_object": thing,
        "object": thing,
    }
    with in_window(context), context.temp_override(**place):
        bpy.ops.object.mode_set(mode=mode)


def in_window(context: bpy.types.Context) -> AbstractContextManager[object]:
    """An override that gives the context a window, if it has none: timers and commands have none.

    The scene and what else is to be another than the window's must be overridden inside of this one:
    together with a window, Blender takes that window's scene.
    """
    if context.window is not None or not context.window_manager.windows:
        return nullcontext()
    return context.temp_override(window=context.window_manager.windows[0])


def _select_only(
    layer: bpy.types.ViewLayer, things: list[bpy.types.Object], active: bpy.types.Object | None
) -> None:
    for item in list(layer.objects.selected):
        item.select_set(False, view_layer=layer)
    for item in things:
        item.select_set(True, view_layer=layer)
    layer.objects.active = active
