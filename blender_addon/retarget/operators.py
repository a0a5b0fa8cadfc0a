# SPDX-License-Identifier: GPL-3.0-or-later
"""The buttons of retargeting, each of them one undo step.

Scripts set `scene.recover_motion_retarget` and call `bpy.ops.recover_motion.retarget()`: what has no list of
bones yet is detected.
"""

import bpy
from bpy.app.translations import pgettext_n as n_

from . import retarget as core
from .chosen import (
    frames_of,
    options_of,
    problem_of,
    problem_of_mode,
    problem_of_target,
    source_of,
    target_of,
)
from .keys import KEY, put_back
from .known_presets import detect_into, mapping_of
from .mapping_list import find_list, title, verdict
from .preview import discard, is_shown, target_in
from .problem import RetargetProblem


def report_result(operator: bpy.types.Operator, what: str, result: core.Retargeted) -> None:
    """Say what came of it, and what there is to know."""
    first, last = result.frame_range
    for note in result.notes:
        operator.report({"WARNING"}, note)
    operator.report({"INFO"}, f'{what} "{result.action.name}", frames {first} to {last}.')


class RECOVER_MOTION_OT_detect_rig(bpy.types.Operator):
    """Find out which bone of the target plays which part."""

    bl_description = (
        "Find out what kind of rig the character has, and fill the list of bones. What the list says now is"
        " replaced"
    )
    bl_idname = "recover_motion.detect_rig"
    bl_label = "Detect"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's own form)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A character is chosen."""
        reason = problem_of_target(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Fill the list with the best answer."""
        target = target_of(context)
        try:
            listed = detect_into(context.scene, target)
        except RetargetProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        self.report({"INFO"}, f"{title(listed, target)}. {verdict(listed)}".strip())
        return {"FINISHED"}


class RECOVER_MOTION_OT_retarget(bpy.types.Operator):
    """Give the source's motion to the target."""

    bl_description = (
        "Write the source's motion as a new action of the target. Its earlier action stays in the file, and"
        " Put Back gives it back"
    )
    bl_idname = "recover_motion.retarget"
    bl_label = "Retarget"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is a source with a motion, and a character that can take it."""
        reason = problem_of(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Retarget; a preview that is shown is discarded first."""
        source, target = source_of(context), target_of(context)
        try:
            bone_map = mapping_of(context.scene, target)
            if is_shown(context.scene):
                discard(context)
            options = options_of(context.scene.recover_motion_retarget)
            result = core.retarget(context, source, target, bone_map, options, frames=frames_of(context))
        except RetargetProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        report_result(self, f"{target.name} moves by", result)
        return {"FINISHED"}


class RECOVER_MOTION_OT_put_back(bpy.types.Operator):
    """Give the target the action that it had before it was retargeted."""

    bl_description = (
        "Give the character the action that it had before it was retargeted, and set its FK and IK switches"
        " as they were. The retargeted action stays in the file"
    )
    bl_idname = "recover_motion.put_back"
    bl_label = "Put Back"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A character is chosen that was retargeted."""
        reason = problem_of_mode(context) or problem_of_target(context)
        if not reason and target_in(context.scene) == target_of(context):
            reason = n_("A preview is shown: keep or discard it first")
        if not reason and not _was_retargeted(target_of(context)):
            reason = n_("The character has not been retargeted, or was put back already")
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Put it back."""
        target = target_of(context)
        action = put_back(target)
        moved = f'moves by "{action.name}" again' if action else "has no action again, as before"
        self.report({"INFO"}, f"{target.name} {moved}.")
        return {"FINISHED"}


def _was_retargeted(target: bpy.types.Object) -> bool:
    """Whether the action that moves a character was written by retargeting."""
    animation = target.animation_data
    return animation is not None and animation.action is not None and KEY in animation.action


class RECOVER_MOTION_OT_forget_list(bpy.types.Operator):
    """Take a character's list away."""

    bl_description = "Empty this character's list; the next retargeting detects its bones again"
    bl_idname = "recover_motion.forget_list"
    bl_label = "Forget List"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """The chosen character has a list."""
        settings = context.scene.recover_motion_retarget
        if find_list(settings, target_of(context)) is None:
            cls.poll_message_set(n_("This character has no list"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Remove it."""
        settings = context.scene.recover_motion_retarget
        listed = find_list(settings, target_of(context))
        settings.lists.remove(next(index for index, one in enumerate(settings.lists) if one == listed))
        return {"FINISHED"}


_CLASSES = (
    RECOVER_MOTION_OT_detect_rig,
    RECOVER_MOTION_OT_retarget,
    RECOVER_MOTION_OT_put_back,
    RECOVER_MOTION_OT_forget_list,
)


def register() -> None:
    """Register the operators."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the operators."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
