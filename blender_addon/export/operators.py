# SPDX-License-Identifier: GPL-3.0-or-later
"""The buttons of export.

Scripts set `scene.recover_motion_export` and call `bpy.ops.recover_motion.export(filepath=...)` with the
character active, or `bpy.ops.recover_motion.export_selected(directory=...)`. The scene stays as
it is.
"""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_n as n_
from bpy_extras.io_utils import ExportHelper

from .character import export_character
from .chosen import character_of, file_name, files_in, is_animated, options_of, selected_characters
from .options import SUFFIXES, ExportProblem

_MODES = ("OBJECT", "POSE")


def problem_of(context: bpy.types.Context, armature: bpy.types.Object | None) -> str:
    """Why a character cannot be exported now; empty when it can be."""
    if armature is None:
        return n_("Make a character's armature active, or its skin")
    if context.mode not in _MODES:
        return n_("Go back to Object Mode or Pose Mode")
    if not is_animated(armature) and context.scene.recover_motion_export.frames == "ACTION":
        return n_("The character has no action: there is no motion to export")
    return ""


class RECOVER_MOTION_OT_export(bpy.types.Operator, ExportHelper):
    """Export the active character."""

    bl_description = "Export the active character with its motion to a file, and check it by reading it back"
    bl_idname = "recover_motion.export"
    bl_label = "Export Character"
    bl_options = {"REGISTER"}  # noqa: RUF012 (Blender's own form)

    filename_ext = ""
    check_extension = None
    filter_glob: bpy.props.StringProperty(
        default=";".join(f"*{suffix}" for suffixes in SUFFIXES.values() for suffix in suffixes),
        options={"HIDDEN"},
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A character with motion is active."""
        reason = problem_of(context, character_of(context.object))
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the file."""
        settings = context.scene.recover_motion_export
        name = file_name(character_of(context.object), settings.format)
        folder = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
        if not self.filepath or Path(self.filepath).is_dir():
            self.filepath = str(folder / name)
        else:
            self.filepath = str(Path(self.filepath).with_name(name))
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Export it."""
        settings = context.scene.recover_motion_export
        path = Path(bpy.path.abspath(self.filepath))
        try:
            exported = export_character(
                context, character_of(context.object), path, settings.format, options_of(settings)
            )
        except ExportProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        for note in exported.notes:
            self.report({"WARNING"}, note)
        self.report({"INFO"}, str(exported))
        return {"FINISHED"}

    def draw(self, context: bpy.types.Context) -> None:
        """The settings, in the file browser."""
        draw_settings(self.layout, context)


class RECOVER_MOTION_OT_export_selected(bpy.types.Operator):
    """Export all selected characters."""

    bl_description = "Export every selected character to a file of its own, named after it and its motion"
    bl_idname = "recover_motion.export_selected"
    bl_label = "Export Selected"
    bl_options = {"REGISTER"}  # noqa: RUF012

    directory: bpy.props.StringProperty(
        name="Folder", description="Folder for the files", subtype="DIR_PATH", options={"SKIP_SAVE"}
    )
    filter_folder: bpy.props.BoolProperty(default=True, options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Some character is selected."""
        chosen = selected_characters(context)
        if not chosen:
            cls.poll_message_set("Select the characters to export, by their armatures or their skins")
            return False
        reason = problem_of(context, chosen[0]) if len(chosen) == 1 else ""
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the folder."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Export them; one that fails does not stop the others."""
        if not self.directory:
            self.report({"ERROR"}, "Choose a folder for the files.")
            return {"CANCELLED"}
        settings = context.scene.recover_motion_export
        characters = selected_characters(context)
        files = files_in(Path(bpy.path.abspath(self.directory)), characters, settings.format)
        options, problems = options_of(settings), []
        for armature, file in zip(characters, files, strict=True):
            try:
                exported = export_character(context, armature, file, settings.format, options)
            except ExportProblem as problem:
                problems.append(str(problem))
                continue
            for note in exported.notes:
                self.report({"WARNING"}, f"{armature.name}: {note}")
            self.report({"INFO"}, str(exported))
        for problem in problems:
            self.report({"ERROR"}, problem)
        return {"CANCELLED"} if len(problems) == len(characters) else {"FINISHED"}

    def draw(self, context: bpy.types.Context) -> None:
        """The settings, in the file browser."""
        draw_settings(self.layout, context)


def draw_settings(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """What can be set, as far as the format has it."""
    settings = context.scene.recover_motion_export
    layout.use_property_split = True
    layout.use_property_decorate = False
    layout.prop(settings, "format")
    if settings.format == "FBX":
        layout.prop(settings, "preset")
    layout.prop(settings, "frames")
    if settings.frames == "OWN":
        column = layout.column(align=True)
        column.prop(settings, "start")
        column.prop(settings, "end")
    if settings.format in ("FBX", "GLB", "GLTF", "USD"):
        layout.prop(settings, "meshes")
    if settings.format in ("FBX", "BVH", "GLB", "GLTF", "USD"):
        layout.prop(settings, "deform_only")
    if settings.format in ("BVH", "ALEMBIC"):
        layout.prop(settings, "centimetres")
    if settings.format in ("AMASS", "SMPL"):
        layout.prop(settings, "body")
    layout.prop(settings, "check")


_CLASSES = (RECOVER_MOTION_OT_export, RECOVER_MOTION_OT_export_selected)


def register() -> None:
    """Register the operators."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the operators."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
