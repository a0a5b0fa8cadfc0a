# SPDX-License-Identifier: GPL-3.0-or-later
"""Choosing, saving, loading and removing presets: the menu of the rig, and its buttons.

A menu and not an enumeration, as the latter would need a callback (see `..properties`).
"""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_n as n_

from .chosen import problem_of_target, target_of
from .known_presets import fill_from, fill_from_file, own_presets, remove_own, save_own
from .mapping_list import find_list, problem_of_list, read, title
from .preset_file import built_in_presets
from .problem import RetargetProblem


def _may_fill(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether there is a character whose list could be filled; when not, the tooltip says why."""
    reason = problem_of_target(context)
    if reason:
        cls.poll_message_set(reason)
    return not reason


class RECOVER_MOTION_OT_use_preset(bpy.types.Operator):
    """Fill the list from a preset."""

    bl_description = "Fill the list of bones from this preset. What the list says now is replaced"
    bl_idname = "recover_motion.use_preset"
    bl_label = "Use Preset"
    bl_options = {"REGISTER", "UNDO", "INTERNAL"}  # noqa: RUF012 (Blender's own form)

    name: bpy.props.StringProperty(name="Preset", description="Its name or id", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A character is chosen."""
        return _may_fill(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Fill it."""
        target = target_of(context)
        try:
            listed = fill_from(context.scene, target, self.name)
        except RetargetProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{title(listed, target)}.")
        return {"FINISHED"}


class RECOVER_MOTION_OT_load_preset(bpy.types.Operator):
    """Fill the list from a preset's file."""

    bl_description = "Fill the list of bones from a preset's file (.json), as somebody else saved it"
    bl_idname = "recover_motion.load_preset"
    bl_label = "Load Preset File"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    filepath: bpy.props.StringProperty(
        name="File", description="The preset's file", subtype="FILE_PATH", options={"SKIP_SAVE"}
    )
    filter_glob: bpy.props.StringProperty(default="*.json", options={"HIDDEN"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A character is chosen."""
        return _may_fill(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for the file."""
        context.window_manager.fileselect_add(self)
        return {"RUNNING_MODAL"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Fill it."""
        target = target_of(context)
        try:
            listed = fill_from_file(context.scene, target, Path(bpy.path.abspath(self.filepath)))
        except RetargetProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{title(listed, target)}.")
        return {"FINISHED"}


class RECOVER_MOTION_OT_save_preset(bpy.types.Operator):
    """Save the list as a preset."""

    bl_description = (
        "Save this list of bones as a preset of your own, for other characters with the same rig. One of the"
        " same name is replaced"
    )
    bl_idname = "recover_motion.save_preset"
    bl_label = "Save Preset"
    bl_options = {"REGISTER"}  # noqa: RUF012 (nothing changes in the .blend)

    name: bpy.props.StringProperty(name="Name", description="What to call it", options={"SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """The chosen character has a list that is in order."""
        reason = problem_of_target(context)
        if not reason:
            target = target_of(context)
            listed = find_list(context.scene.recover_motion_retarget, target)
            if listed is None:
                reason = n_("There is no list yet: click Detect, or Edit by Hand")
            else:
                reason = problem_of_list(listed, target)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask for a name."""
        self.name = self.name or target_of(context).name
        return context.window_manager.invoke_props_dialog(self)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Save it."""
        listed = find_list(context.scene.recover_motion_retarget, target_of(context))
        try:
            preset = save_own(read(listed), self.name)
        except RetargetProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, f'Saved as the preset "{preset.name}".')
        return {"FINISHED"}


class RECOVER_MOTION_OT_remove_preset(bpy.types.Operator):
    """Remove one of the user's own presets."""

    bl_description = "Remove this preset of yours from your disk. Lists that were filled from it stay"
    bl_idname = "recover_motion.remove_preset"
    bl_label = "Remove Preset"
    bl_options = {"REGISTER", "INTERNAL"}  # noqa: RUF012 (nothing changes in the .blend)

    name: bpy.props.StringProperty(name="Preset", description="Its name or id", options={"SKIP_SAVE"})

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Ask first."""
        return context.window_manager.invoke_confirm(self, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it."""
        try:
            name = remove_own(self.name)
        except RetargetProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, f'The preset "{name}" is removed.')
        return {"FINISHED"}


class RECOVER_MOTION_MT_remove_preset(bpy.types.Menu):
    """The user's own presets, to remove one."""

    bl_idname = "RECOVER_MOTION_MT_remove_preset"
    bl_label = "Remove Preset"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the menu."""
        for preset in own_presets().presets:
            button = self.layout.operator("recover_motion.remove_preset", text=preset.name, translate=False)
            button.name = preset.id


class RECOVER_MOTION_MT_rig_presets(bpy.types.Menu):
    """Kinds of rigs."""

    bl_idname = "RECOVER_MOTION_MT_rig_presets"
    bl_label = "Rig"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the menu."""
        layout = self.layout
        layout.operator("recover_motion.detect_rig", text="Detect Automatically", icon="VIEWZOOM")
        layout.separator()
        for preset in built_in_presets():
            _draw_entry(layout, preset.id, preset.name)
        own = own_presets()
        if own.presets:
            layout.separator()
        for preset in own.presets:
            _draw_entry(layout, preset.id, preset.name)
        layout.separator()
        layout.operator("recover_motion.load_preset", icon="FILE_FOLDER")
        layout.operator("recover_motion.save_preset", icon="ADD")
        if own.presets:
            layout.menu(RECOVER_MOTION_MT_remove_preset.bl_idname, icon="REMOVE")
        for problem in own.problems:
            layout.label(text=problem, translate=False, icon="ERROR")


def _draw_entry(layout: bpy.types.UILayout, key: str, name: str) -> None:
    layout.operator("recover_motion.use_preset", text=name, translate=False).name = key


_CLASSES = (
    RECOVER_MOTION_OT_use_preset,
    RECOVER_MOTION_OT_load_preset,
    RECOVER_MOTION_OT_save_preset,
    RECOVER_MOTION_OT_remove_preset,
    RECOVER_MOTION_MT_remove_preset,
    RECOVER_MOTION_MT_rig_presets,
)


def register() -> None:
    """Register the operators and the menus."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister them."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
