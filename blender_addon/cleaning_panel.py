# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's sub-panel for cleaning the motion of the active armature."""

import bpy

from .cleaning import MARK, action_in_use, imported_armature
from .wrapped_text import write


class RECOVER_MOTION_PT_clean(bpy.types.Panel):
    """Settings of cleaning, and its buttons."""

    bl_label = "Clean Up"
    bl_parent_id = "RECOVER_MOTION_PT_main"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Recover Motion"

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """An imported armature, or its body, is active."""
        return imported_armature(context) is not None

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout = self.layout
        armature = imported_armature(context)
        settings = armature.recover_motion_cleaning
        layout.operator("recover_motion.clean", icon="BRUSH_DATA")
        row = layout.row(align=True)
        row.operator("recover_motion.show_source")
        row.operator("recover_motion.show_cleaned")
        used = action_in_use(armature)
        if used is not None and used.action == settings.cleaned and MARK in used.action:
            write(layout, context, used.action[MARK]["says"], "INFO")

        layout.use_property_split = True
        layout.use_property_decorate = False
        _draw_range(layout, settings)
        column = layout.column()
        column.prop(settings, "smooth")
        feet = column.column()
        feet.active = settings.smooth > 0
        feet.prop(settings, "keep_feet")
        layout.prop(settings, "in_place")
        _draw_loop(layout, settings)
        _draw_floor(layout, settings)
        _draw_keys(layout, settings)


def _draw_range(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    column = layout.column(align=True)
    column.prop(settings, "trim_start")
    column.prop(settings, "trim_end")
    layout.operator("recover_motion.trim_to_scene")


def _draw_loop(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    column = layout.column()
    column.prop(settings, "use_loop")
    if settings.use_loop:
        column.prop(settings, "loop_span")
        travel = column.column()
        travel.active = settings.in_place == "OFF"
        travel.prop(settings, "loop_travels")


def _draw_floor(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    column = layout.column()
    column.prop(settings, "use_floor")
    if settings.use_floor:
        column.prop(settings, "floor")
        column.prop(settings, "share_below")


def _draw_keys(layout: bpy.types.UILayout, settings: bpy.types.PropertyGroup) -> None:
    column = layout.column()
    column.prop(settings, "use_thinning")
    if settings.use_thinning:
        column.prop(settings, "rotation_bound")
        column.prop(settings, "location_bound")
        column.prop(settings, "interpolation")


def register() -> None:
    """Register the panel."""
    bpy.utils.register_class(RECOVER_MOTION_PT_clean)


def unregister() -> None:
    """Unregister the panel."""
    bpy.utils.unregister_class(RECOVER_MOTION_PT_clean)
