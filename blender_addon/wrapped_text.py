# SPDX-License-Identifier: GPL-3.0-or-later
"""Sentences in the interface: Blender's labels do not wrap, and cut out the middle of what is too long."""

import textwrap

import bpy

_LETTER = 6.5
"""Width of an average letter in pixels, at a resolution scale of 1."""

_MARGIN = 60
"""Pixels that the region's border, the panel's border and the icon take, likewise."""

_MOST_LINES = 8


def write(
    layout: bpy.types.UILayout, context: bpy.types.Context, text: str, icon: str = "BLANK1", inset: int = 0
) -> None:
    """Write a text over as many lines as the region's width asks for.

    Args:
        layout: where to write.
        context: its region gives the width.
        text: sentences; a line feed starts a new line.
        icon: shown before the first line.
        inset: pixels by which the layout is narrower than the region's, at a resolution scale of 1.
    """
    scale = context.preferences.system.ui_scale
    room = max(int((context.region.width / scale - _MARGIN - inset) / _LETTER), 16)
    column = layout.column(align=True)
    column.scale_y = 0.8
    lines = [line for paragraph in text.splitlines() for line in textwrap.wrap(paragraph, room)]
    for number, line in enumerate(lines[:_MOST_LINES]):
        column.label(text=line, icon=icon if number == 0 else "BLANK1")
