# SPDX-License-Identifier: GPL-3.0-or-later
"""Edit Mode for a moment: bones can be made nowhere else, and the user must not notice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import bpy


@contextmanager
def edit_mode(context: bpy.types.Context, thing: bpy.types.Object) -> Iterator[None]:
    """Put an object into Edit Mode inside the block; mode, active object and selection come back after it."""
    layer = context.view_layer
    active = layer.objects.active
    mode = active.mode if active else "OBJECT"
    sharing = [item for item in layer.objects if item.mode == mode != "OBJECT"]  # several can be in one mode
    selected = list(layer.objects.selected)
    # The operators that change the mode need a window, which timers and some scripts do not have. Any
    # window serves, as long as the scene stays the caller's.
    windows = context.window_manager.windows
    window = context.window or (windows[0] if windows else None)
    with context.temp_override(window=window, scene=context.scene, view_layer=layer):
        if mode != "OBJECT":
            bpy.ops.object.mode_set(mode="OBJECT")
        try:
            _select_only(layer, [thing], thing)
            bpy.ops.object.mode_set(mode="EDIT")
            try:
                yield
            finally:
                bpy.ops.object.mode_set(mode="OBJECT")
        finally:
            _select_only(layer, sharing, active)
            if mode != "OBJECT":
                bpy.ops.object.mode_set(mode=mode)
            _select_only(layer, selected, active)


def _select_only(
    layer: bpy.types.ViewLayer, things: list[bpy.types.Object], active: bpy.types.Object | None
) -> None:
    for item in list(layer.objects.selected):
        item.select_set(False, view_layer=layer)
    for item in things:
        item.select_set(True, view_layer=layer)
    layer.objects.active = active
