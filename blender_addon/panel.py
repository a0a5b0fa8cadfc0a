# SPDX-License-Identifier: GPL-3.0-or-later
"""The panels in the sidebars: footage, people, one button, and how it is going.

Each is drawn by one class and is in both editors, the 3D view and the Movie Clip editor.
"""

import bpy

from . import form_panel, progress_panel, session
from .wrapped_text import write


class _In3DView:
    """In the sidebar of the 3D view."""

    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Recover Motion"


class _InClipEditor:
    """In the sidebar of the Movie Clip editor."""

    bl_space_type = "CLIP_EDITOR"
    bl_region_type = "UI"
    bl_category = "Recover Motion"


class _Main:
    """The job form, the button and the progress."""

    bl_label = "Recover Motion"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout = self.layout
        form = context.scene.recover_motion
        form_panel.draw_form(layout.column(), context, form)

        problem = session.found_backend()[1]
        row = layout.row()
        row.scale_y = 1.6
        row.operator("recover_motion.recover", icon="ARMATURE_DATA")
        if problem:
            write(layout, context, problem, "ERROR")
            show = layout.operator("preferences.addon_show", text="Open Preferences", icon="PREFERENCES")
            show.module = __package__
        progress_panel.draw_jobs(layout, context)
        if not problem and (version := session.version_problem()):
            write(layout, context, version, "INFO")


class _Options:
    """What is right as it is most of the time."""

    bl_label = "Options"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        layout = self.layout
        form_panel.draw_options(layout, context, context.scene.recover_motion)


class _Import:
    """Motion that was recovered before, or on another machine."""

    bl_label = "Import"
    bl_options = {"DEFAULT_CLOSED"}  # noqa: RUF012

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the panel."""
        self.layout.operator("recover_motion.import_motion", text="Import Motion Files", icon="IMPORT")


class RECOVER_MOTION_PT_main(_In3DView, _Main, bpy.types.Panel):
    """The form in the 3D view."""


class RECOVER_MOTION_PT_options(_In3DView, _Options, bpy.types.Panel):
    """The options in the 3D view."""

    bl_parent_id = "RECOVER_MOTION_PT_main"


class RECOVER_MOTION_PT_import(_In3DView, _Import, bpy.types.Panel):
    """The import in the 3D view."""

    bl_parent_id = "RECOVER_MOTION_PT_main"


class RECOVER_MOTION_PT_clip_main(_InClipEditor, _Main, bpy.types.Panel):
    """The form in the Movie Clip editor."""


class RECOVER_MOTION_PT_clip_options(_InClipEditor, _Options, bpy.types.Panel):
    """The options in the Movie Clip editor."""

    bl_parent_id = "RECOVER_MOTION_PT_clip_main"


_CLASSES = (
    RECOVER_MOTION_PT_main,
    RECOVER_MOTION_PT_options,
    RECOVER_MOTION_PT_import,
    RECOVER_MOTION_PT_clip_main,
    RECOVER_MOTION_PT_clip_options,
)


def register() -> None:
    """Register the panels."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the panels."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
