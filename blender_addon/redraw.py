# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawing again what shows the state of the backend and its jobs."""

import bpy


def redraw() -> None:
    """Draw again the sidebars of 3D views and Movie Clip editors, and the preferences."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.type == "PREFERENCES":
                area.tag_redraw()
            elif area.type in ("VIEW_3D", "CLIP_EDITOR"):
                for region in area.regions:
                    if region.type == "UI":
                        region.tag_redraw()
