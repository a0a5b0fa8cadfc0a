# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar's sub-panel for retargeting: from whom, to whom, what kind of rig, preview, go.

It is there in every mode; what cannot be done at present is said instead of being hidden.
"""

import bpy
from bpy.app.translations import pgettext_iface as iface_
from bpy.app.translations import pgettext_n as n_

from ..wrapped_text import write
from .chosen import problem_of, problem_of_target, source_of, target_of
from .mapping_list import (
    PARTS,
    extras_in_words,
    find_list,
    problem_of_list,
    problems,
    rows,
    takes_several,
    title,
    verdict,
)
from .preset_operators import RECOVER_MOTION_MT_rig_presets
from .preview import is_shown, target_in


class _InSidebar:
    """In the sidebar of the 3D view."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Recover Motion"


class RECOVER_MOTION_PT_retarget(_InSidebar, bpy.types.Panel):
    """From whom to whom, and the buttons."""

    bl_label = "Retarget"
    bl_parent_id = "RECOVER_MOTION_PT_main"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012 (Blender's own form)

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout, settings = self.layout, context.scene.recover_motion_retarget
        _draw_who(layout, context, settings)
        if reason := problem_of(context):
            write(layout, context, iface_(reason), "INFO")
        target = None if problem_of_target(context) else target_of(context)
        if target is not None:
            _draw_rig(layout, context, settings, target)
        _draw_preview(layout, context, settings)
        row = layout.row()
        row.scale_y = 1.6
        row.operator("recover_motion.retarget", icon="ARMATURE_DATA")
        layout.operator("recover_motion.put_back", icon="LOOP_BACK")


class RECOVER_MOTION_PT_retarget_bones(_InSidebar, bpy.types.Panel):
    """The list of bones."""

    bl_label = "Bones"
    bl_parent_id = "RECOVER_MOTION_PT_retarget"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout, settings = self.layout, context.scene.recover_motion_retarget
        reason = problem_of_target(context)
        if reason:
            write(layout, context, iface_(reason), "INFO")
            return
        target = target_of(context)
        listed = find_list(settings, target)
        if listed is None:
            write(layout, context, iface_("There is no list yet. Detection fills one."), "INFO")
            row = layout.row(align=True)
            row.operator("recover_motion.detect_rig", icon="VIEWZOOM")
            row.operator("recover_motion.start_list")
            return
        _draw_list(layout, context, listed, target)


class RECOVER_MOTION_PT_retarget_options(_InSidebar, bpy.types.Panel):
    """How."""

    bl_label = "Options"
    bl_parent_id = "RECOVER_MOTION_PT_retarget"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout, settings = self.layout, context.scene.recover_motion_retarget
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.prop(settings, "all_frames")
        column = layout.column()
        column.prop(settings, "feet")
        floor = column.column()
        floor.active = settings.feet != "OFF"
        floor.prop(settings, "floor")
        layout.prop(settings, "alignment")
        column = layout.column()
        column.prop(settings, "root")
        column.prop(settings, "place")
        column.prop(settings, "in_place")
        column = layout.column()
        column.prop(settings, "scale")
        if settings.scale == "FACTOR":
            column.prop(settings, "factor")
        column.prop(settings, "heights")
        column = layout.column(heading="Also Move")
        column.prop(settings, "twists")
        column.prop(settings, "ik")
        layout.prop(settings, "every")


class RECOVER_MOTION_PT_retarget_batch(_InSidebar, bpy.types.Panel):
    """Many at once."""

    bl_label = "Several at Once"
    bl_parent_id = "RECOVER_MOTION_PT_retarget"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout, settings = self.layout, context.scene.recover_motion_retarget
        layout.label(text="One Motion")
        layout.operator("recover_motion.retarget_selected", icon="OUTLINER_OB_ARMATURE")
        layout.label(text="Many Motions to the Target")
        column = layout.column(align=True)
        column.operator("recover_motion.retarget_bodies", icon="RESTRICT_SELECT_OFF")
        column.operator("recover_motion.retarget_takes", icon="ACTION")
        layout.prop(settings, "use_nla")


def _draw_who(
    layout: bpy.types.UILayout, context: bpy.types.Context, settings: bpy.types.PropertyGroup
) -> None:
    column = layout.column()
    column.use_property_split = True
    column.use_property_decorate = False
    source = source_of(context)
    if settings.source is None and source is not None:
        column.prop(settings, "source", placeholder=source.name)
    else:
        column.prop(settings, "source")
    column.prop(settings, "target")


def _draw_rig(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    settings: bpy.types.PropertyGroup,
    target: bpy.types.Object,
) -> None:
    """What kind of rig it is, and whether its list is in order."""
    listed = find_list(settings, target)
    name = n_("Detect Automatically") if listed is None else title(listed, target)
    row = layout.row(align=True)
    row.menu(RECOVER_MOTION_MT_rig_presets.bl_idname, text=name)
    row.operator("recover_motion.detect_rig", text="", icon="VIEWZOOM")
    if listed is None:
        return
    if problem := problem_of_list(listed, target):
        write(layout, context, problem, "ERROR")
    elif said := verdict(listed):
        write(layout, context, said, "INFO")


def _draw_preview(
    layout: bpy.types.UILayout, context: bpy.types.Context, settings: bpy.types.PropertyGroup
) -> None:
    column = layout.column(align=True)
    row = column.row(align=True)
    row.operator("recover_motion.preview_frame", icon="POSE_HLT")
    row.operator("recover_motion.preview_range", icon="HIDE_OFF")
    beside = column.column()
    beside.active = settings.place == "SOURCE"
    beside.prop(settings, "side_by_side")
    if not is_shown(context.scene):
        return
    box = layout.box()
    target = target_in(context.scene)
    if target is None:
        write(box, context, iface_("The character of the preview was deleted."), "ERROR")
    elif settings.preview.is_frame:
        text = iface_("{} shows one frame's pose. Keep retargets the whole motion.")
        write(box, context, text.format(target.name), "HIDE_OFF", inset=20)
    else:
        write(box, context, iface_("{} shows a preview.").format(target.name), "HIDE_OFF")
    if settings.preview.says:
        write(box, context, settings.preview.says, "INFO", inset=20)
    row = box.row(align=True)
    row.operator("recover_motion.preview_keep", icon="CHECKMARK")
    row.operator("recover_motion.preview_discard", icon="X")


def _draw_list(
    layout: bpy.types.UILayout,
    context: bpy.types.Context,
    listed: bpy.types.PropertyGroup,
    target: bpy.types.Object,
) -> None:
    """A row for each bone; a row that is wrong is red, and what is wrong with the first of them is said."""
    wrong = problems(listed, target)
    if problem := problem_of_list(listed, target):
        write(layout, context, problem, "ERROR")
    column = layout.column(align=True)
    for index, row, is_first in rows(listed):
        line = column.split(factor=0.4, align=True)
        name = line.row()
        name.alignment = "RIGHT"
        name.alert = bool(wrong[index])  # a field with a search does not turn red
        part = PARTS.get(row.role, row.role) if is_first else ""
        name.label(text=part, icon="ERROR" if wrong[index] else "NONE")
        line = line.row(align=True)
        line.prop_search(row, "bone", target.data, "bones", text="", icon="BONE_DATA")
        if context.mode == "POSE":  # names are long, and a sidebar is narrow: only what can be of use
            line.operator("recover_motion.pick_bone", text="", icon="EYEDROPPER").index = index
        if not is_first:
            line.operator("recover_motion.clear_row", text="", icon="REMOVE").index = index
        elif takes_several(row.role):
            line.operator("recover_motion.add_row", text="", icon="ADD").index = index
    row = layout.split(factor=0.4, align=True)
    name = row.row()
    name.alignment = "RIGHT"
    name.label(text="Root Bone")
    row.prop_search(listed, "root", target.data, "bones", text="", icon="BONE_DATA")
    if extras := extras_in_words(listed):
        write(layout, context, extras, "INFO")
    row = layout.row(align=True)
    row.operator("recover_motion.save_preset", icon="ADD")
    row.operator("recover_motion.forget_list", icon="TRASH")


_CLASSES = (
    RECOVER_MOTION_PT_retarget,
    RECOVER_MOTION_PT_retarget_bones,
    RECOVER_MOTION_PT_retarget_options,
    RECOVER_MOTION_PT_retarget_batch,
)


def register() -> None:
    """Register the panels."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the panels."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
