# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's sub-panel for exporting characters."""

import bpy

from .operators import draw_settings


class RECOVER_MOTION_PT_export(bpy.types.Panel):
    """Settings of export, and its buttons."""

    bl_label = "Export"
    bl_parent_id = "RECOVER_MOTION_PT_main"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Recover Motion"
    bl_order = 10
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012 (Blender's own form)

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout = self.layout
        draw_settings(layout.column(), context)
        layout.operator("recover_motion.export", icon="EXPORT")
        layout.operator("recover_motion.export_selected")


def register() -> None:
    """Register the panel."""
    bpy.utils.register_class(RECOVER_MOTION_PT_export)


def unregister() -> None:
    """Unregister the panel."""
    bpy.utils.unregister_class(RECOVER_MOTION_PT_export)
