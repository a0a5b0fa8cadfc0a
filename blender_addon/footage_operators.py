# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing footage and people by a click or a drop; nothing is started by that.

Videos and images that are dropped on a 3D view can become the form's footage: Blender offers that beside what
it does with them itself. The Movie Clip editor opens what is dropped on it, whatever an add-on says; its
sidebar then offers the clip as the footage.
"""

from contextlib import suppress
from pathlib import Path

import bpy
from bpy.app.translations import pgettext_rpt as rpt_

from . import job_form
from .redraw import redraw

_CATEGORY = "Recover Motion"

_to_turn: set[int] = set()
"""Areas whose sidebar is to show the form."""


class RECOVER_MOTION_OT_use_clip(bpy.types.Operator):
    """Take the clip of the Movie Clip editor as the footage."""

    bl_description = "Take the clip of this editor as the footage to recover motion from"
    bl_idname = "recover_motion.use_clip"
    bl_label = "Use Clip"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}  # noqa: RUF012 (Blender's own form)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """The editor has a clip."""
        if getattr(context, "edit_movieclip", None) is None:
            cls.poll_message_set("Open a clip in the Movie Clip editor first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write it into the form."""
        form = context.scene.recover_motion
        form.source, form.clip = "CLIP", context.edit_movieclip
        redraw()
        return {"FINISHED"}


class RECOVER_MOTION_OT_use_footage(bpy.types.Operator):
    """Take a video file or an image sequence as the footage."""

    bl_description = "Take this video, or the sequence that this image belongs to, as the footage"
    bl_idname = "recover_motion.use_footage"
    bl_label = "Recover Motion from This"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}  # noqa: RUF012

    filepath: bpy.props.StringProperty(subtype="FILE_PATH", options={"HIDDEN", "SKIP_SAVE"})
    directory: bpy.props.StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    files: bpy.props.CollectionProperty(
        type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"}
    )

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write it into the form, and show the form."""
        names = sorted(file.name for file in self.files if file.name)
        path = str(Path(self.directory, names[0])) if names else self.filepath
        if not path:
            self.report({"ERROR"}, "No file was given")
            return {"CANCELLED"}
        form = context.scene.recover_motion
        form.source, form.footage = "FILE", path
        _show_form(context.area)
        self.report({"INFO"}, rpt_("Footage: {}").format(job_form.footage_of(form).name))
        redraw()
        return {"FINISHED"}


class RECOVER_MOTION_OT_tick_people(bpy.types.Operator):
    """Tick all people that were found, or none."""

    bl_description = "Tick all people that were found, or none"
    bl_idname = "recover_motion.tick_people"
    bl_label = "Tick People"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}  # noqa: RUF012

    chosen: bpy.props.BoolProperty(name="Recover", default=True, options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """People of the form's clip are known."""
        if not job_form.knows_people(context.scene.recover_motion):
            cls.poll_message_set("Find the people first")
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Tick them."""
        for person in context.scene.recover_motion.people:
            person.chosen = self.chosen
        return {"FINISHED"}


class RECOVER_MOTION_FH_footage(bpy.types.FileHandler):
    """Videos and images dropped on a 3D view can be the footage."""

    bl_idname = "RECOVER_MOTION_FH_footage"
    bl_label = "Recover Motion from This"
    bl_import_operator = "recover_motion.use_footage"
    bl_file_extensions = ";".join(sorted(bpy.path.extensions_movie | bpy.path.extensions_image))

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        """In a 3D view."""
        return context.area is not None and context.area.type == "VIEW_3D"


def _show_form(area: bpy.types.Area | None) -> None:
    """Open the sidebar of a 3D view, on the form's tab."""
    if area is None or area.type != "VIEW_3D":
        return
    area.spaces.active.show_region_ui = True
    _to_turn.add(area.as_pointer())
    # a sidebar that was never drawn has no tabs yet
    if not bpy.app.timers.is_registered(_turn_to_tab):
        bpy.app.timers.register(_turn_to_tab, first_interval=0.2)


def _turn_to_tab() -> None:
    """The timer: choose the tab in the sidebars that were opened a moment ago."""
    for window in bpy.context.window_manager.windows:
        for area in window.screen.areas:
            if area.as_pointer() not in _to_turn:
                continue
            for region in area.regions:
                if region.type == "UI":
                    with suppress(AttributeError, TypeError):  # no tabs: the region is still hidden
                        region.active_panel_category = _CATEGORY
                    region.tag_redraw()
    _to_turn.clear()


_CLASSES = (
    RECOVER_MOTION_OT_use_clip,
    RECOVER_MOTION_OT_use_footage,
    RECOVER_MOTION_OT_tick_people,
    RECOVER_MOTION_FH_footage,
)


def register() -> None:
    """Register the operators and the file handler."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister them."""
    if bpy.app.timers.is_registered(_turn_to_tab):
        bpy.app.timers.unregister(_turn_to_tab)
    _to_turn.clear()
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
