# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar of the 3D view: footage, people, one button, and how it is going."""

import bpy

from . import job_form, model_menus, progress_panel, session
from .wrapped_text import write


class _Sidebar:
    """Where the panels are."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Recover Motion"


class RECOVER_MOTION_UL_people(bpy.types.UIList):
    """The people in the footage, to tick those to recover."""

    def draw_item(self, context, layout, data, item, icon, active_data, active_property, index) -> None:
        """Draw a person's line."""
        row = layout.row()
        row.prop(item, "chosen", text="")
        row.label(text=item.name)
        seen = row.row()
        seen.alignment = "RIGHT"
        seen.label(text=f"{item.start:.1f} – {item.end:.1f} s")  # noqa: RUF001 (a dash between numbers)


class RECOVER_MOTION_PT_main(_Sidebar, bpy.types.Panel):
    """The job form, the button and the progress."""

    bl_label = "Recover Motion"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout = self.layout
        form = context.scene.recover_motion
        job = session.job

        column = layout.column()
        column.enabled = not session.busy()
        column.prop(form, "footage", text="", placeholder="Footage")
        column.prop(form, "who")
        if form.who == "CHOSEN":
            _draw_people(column, form)

        problem = session.found_backend()[1]
        if job is not None and job.active:
            progress_panel.draw_progress(layout, context, job)
            return
        row = layout.row()
        row.scale_y = 1.6
        row.operator("recover_motion.recover", icon="ARMATURE_DATA")
        if problem:
            write(layout, context, problem, "ERROR")
            show = layout.operator("preferences.addon_show", text="Open Preferences", icon="PREFERENCES")
            show.module = __package__
        elif job is not None:
            progress_panel.draw_outcome(layout, context, job)
        if not problem and (version := session.version_problem()):
            write(layout, context, version, "INFO")


class RECOVER_MOTION_PT_options(_Sidebar, bpy.types.Panel):
    """What is right as it is most of the time."""

    bl_label = "Options"
    bl_parent_id = "RECOVER_MOTION_PT_main"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        layout.enabled = not session.busy()
        form = context.scene.recover_motion

        layout.prop(form, "out", placeholder="Beside the footage")
        layout.prop(form, "camera_fov")
        model_menus.draw_choices(layout, form)
        layout.prop(form, "use_range")
        if form.use_range:
            column = layout.column(align=True)
            column.prop(form, "start")
            column.prop(form, "end")
        column = layout.column(heading="Import")
        column.prop(form, "use_camera")
        column.prop(form, "set_render_size")
        column.prop(form, "use_nla")
        layout.prop(form, "existing")


class RECOVER_MOTION_PT_import(_Sidebar, bpy.types.Panel):
    """Motion that was recovered before, or on another machine."""

    bl_label = "Import"
    bl_parent_id = "RECOVER_MOTION_PT_main"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        self.layout.operator("recover_motion.import_motion", text="Import Motion Files", icon="IMPORT")


def _draw_people(layout: bpy.types.UILayout, form: bpy.types.PropertyGroup) -> None:
    if job_form.knows_people(form):
        rows = min(len(form.people), 6)
        layout.template_list("RECOVER_MOTION_UL_people", "", form, "people", form, "people_index", rows=rows)
    layout.operator("recover_motion.find_people", icon="VIEWZOOM")


_CLASSES = (
    RECOVER_MOTION_UL_people,
    RECOVER_MOTION_PT_main,
    RECOVER_MOTION_PT_options,
    RECOVER_MOTION_PT_import,
)


def register() -> None:
    """Register the panels."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the panels."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
