# SPDX-License-Identifier: GPL-3.0-or-later
"""The buttons of cleaning, each of them one undo step.

Scripts set `armature.recover_motion_cleaning` and call `bpy.ops.recover_motion.clean()` with the armature
active, or for any other with `context.temp_override(object=armature)`.
"""

import bpy
from bpy.app.translations import pgettext_n as n_

from .cleaning import (
    CleaningProblem,
    action_in_use,
    clean,
    find_source,
    imported_armature,
    reason_against,
    show,
)
from .motion_curves import read_motion
from .resample import scene_rate

_MODES = ("OBJECT", "POSE")


def _may_change(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether the active armature's motion could be cleaned; when not, the button's tooltip says why."""
    armature = imported_armature(context)
    if armature is None:
        reason = n_("Make an armature with recovered motion active")
    elif context.mode not in _MODES:
        reason = n_("Go back to Object Mode or Pose Mode")
    else:
        reason = reason_against(armature)
    if reason:
        cls.poll_message_set(reason)
    return not reason


class RECOVER_MOTION_OT_clean(bpy.types.Operator):
    """Write the cleaned action from the recovered one, with all settings."""

    bl_description = (
        "Clean the recovered motion into an action of its own, with all settings below. The recovered action"
        " stays as it is"
    )
    bl_idname = "recover_motion.clean"
    bl_label = "Clean Up"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's own form)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """An imported armature is active and has a recovered action."""
        return _may_change(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Clean the active armature's motion."""
        armature = imported_armature(context)
        try:
            cleaned = clean(armature, scene_rate(context.scene))
        except CleaningProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        if cleaned.set_aside:
            self.report(
                {"WARNING"},
                f'The keys of the cleaned action had been edited: it is kept as "{cleaned.set_aside}"',
            )
        self.report({"INFO"}, str(cleaned))
        return {"FINISHED"}


class _Showing:
    """What the operators share that swap the recovered action and the cleaned one."""

    in_use: str
    """Why there is nothing to do when the armature has the action already."""

    @classmethod
    def wanted(cls, armature: bpy.types.Object) -> bpy.types.Action | None:
        """The action to go to (subclasses); None when there is none."""
        raise NotImplementedError

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is such an action, and it is not in use."""
        if not _may_change(cls, context):
            return False
        armature = imported_armature(context)
        wanted, used = cls.wanted(armature), action_in_use(armature)
        if wanted is None:
            cls.poll_message_set("The motion has not been cleaned yet")
        elif used is not None and used.action == wanted:
            cls.poll_message_set(cls.in_use)
        else:
            return True
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Assign it."""
        armature = imported_armature(context)
        show(armature, self.wanted(armature))
        return {"FINISHED"}


class RECOVER_MOTION_OT_show_source(_Showing, bpy.types.Operator):
    """Go back to the recovered action."""

    bl_description = "Go back to the action as it was recovered; the cleaned one is kept"
    bl_idname = "recover_motion.show_source"
    bl_label = "Back to Source"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012
    in_use = n_("The recovered action is in use already")

    @classmethod
    def wanted(cls, armature: bpy.types.Object) -> bpy.types.Action | None:
        """The recovered action."""
        return find_source(armature).action


class RECOVER_MOTION_OT_show_cleaned(_Showing, bpy.types.Operator):
    """Go to the cleaned action as it was left."""

    bl_description = "Use the cleaned action again, as it was left, with keys that were edited in it"
    bl_idname = "recover_motion.show_cleaned"
    bl_label = "Show Cleaned"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012
    in_use = n_("The cleaned action is in use already")

    @classmethod
    def wanted(cls, armature: bpy.types.Object) -> bpy.types.Action | None:
        """The cleaned action."""
        return armature.recover_motion_cleaning.cleaned


class RECOVER_MOTION_OT_trim_to_scene(bpy.types.Operator):
    """Set the trim such that the scene's frame range is left."""

    bl_description = (
        "Set the frames to leave out such that only those in the scene's (preview) range are left"
    )
    bl_idname = "recover_motion.trim_to_scene"
    bl_label = "Trim to Scene Range"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """An imported armature is active and has a recovered action."""
        return _may_change(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Set both numbers; the motion is cleaned by the other button."""
        armature, scene = imported_armature(context), context.scene
        motion = read_motion(find_source(armature).curves())
        start, end = scene.frame_start, scene.frame_end
        if scene.use_preview_range:
            start, end = scene.frame_preview_start, scene.frame_preview_end
        if motion is None or end < motion.frames[0] or start > motion.frames[-1]:
            self.report({"ERROR"}, f"The motion has no frames between {start} and {end}.")
            return {"CANCELLED"}
        settings = armature.recover_motion_cleaning
        settings.trim_start = max(start - int(motion.frames[0]), 0)
        settings.trim_end = max(int(motion.frames[-1]) - end, 0)
        return {"FINISHED"}


_CLASSES = (
    RECOVER_MOTION_OT_clean,
    RECOVER_MOTION_OT_show_source,
    RECOVER_MOTION_OT_show_cleaned,
    RECOVER_MOTION_OT_trim_to_scene,
)


def register() -> None:
    """Register the operators."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the operators."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
