# SPDX-License-Identifier: GPL-3.0-or-later
"""The buttons of the preview, each of them one undo step."""

import bpy
from bpy.app.translations import pgettext_n as n_

from . import retarget as core
from .chosen import (
    frames_of,
    options_of,
    problem_of,
    problem_of_mode,
    problem_of_source,
    reason_against,
    source_of,
    target_of,
)
from .known_presets import mapping_of
from .operators import report_result
from .preview import discard, is_shown, keep, show, target_in
from .problem import RetargetProblem


class RECOVER_MOTION_OT_preview_frame(bpy.types.Operator):
    """Show the present frame's pose on the target."""

    bl_description = (
        "Show the pose of the current frame on the character, without changing its motion for good. Click"
        " again after going to another frame or changing an option"
    )
    bl_idname = "recover_motion.preview_frame"
    bl_label = "Preview Frame"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's own form)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is a source with a motion, and a character that can take it."""
        return _may_show(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show it."""
        return _show(self, context, context.scene.frame_current)


class RECOVER_MOTION_OT_preview_range(bpy.types.Operator):
    """Show the motion on the target."""

    bl_description = (
        "Show the whole motion on the character, to be kept or discarded. Click again after changing an"
        " option"
    )
    bl_idname = "recover_motion.preview_range"
    bl_label = "Preview Motion"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is a source with a motion, and a character that can take it."""
        return _may_show(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Show it."""
        return _show(self, context, frames_of(context))


class RECOVER_MOTION_OT_preview_keep(bpy.types.Operator):
    """Keep what is shown."""

    bl_description = (
        "Keep the motion that is shown and move the character back to its own place. After the preview of one"
        " frame, retarget the whole motion"
    )
    bl_idname = "recover_motion.preview_keep"
    bl_label = "Keep"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A preview is shown, on a character that is still there."""
        reason = "" if is_shown(context.scene) else n_("No preview is shown")
        if not reason and target_in(context.scene) is None:
            reason = n_("The character of the preview was deleted: discard the preview")
        reason = reason or problem_of_mode(context)
        if not reason and context.scene.recover_motion_retarget.preview.is_frame:
            reason = problem_of_source(context) or reason_against(target_in(context.scene))
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Keep it."""
        preview = context.scene.recover_motion_retarget.preview
        if preview.is_frame:
            return _retarget_all(self, context)
        target, action = preview.target, preview.action
        note = keep(context)
        if note:
            self.report({"WARNING"}, note)
        else:
            self.report({"INFO"}, f'{target.name} moves by "{action.name}".')
        return {"FINISHED"}


class RECOVER_MOTION_OT_preview_discard(bpy.types.Operator):
    """Put everything back as it was before the preview."""

    bl_description = "End the preview and put the character back as it was before: action, pose and place"
    bl_idname = "recover_motion.preview_discard"
    bl_label = "Discard"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A preview is shown."""
        reason = problem_of_mode(context) if is_shown(context.scene) else n_("No preview is shown")
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Discard it."""
        if note := discard(context):
            self.report({"WARNING"}, note)
        return {"FINISHED"}


def _may_show(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether something can be shown; when not, the tooltip says why."""
    reason = problem_of(context)
    if reason:
        cls.poll_message_set(reason)
    return not reason


def _show(
    operator: bpy.types.Operator,
    context: bpy.types.Context,
    frames: tuple[int, int] | int | None,
) -> set[str]:
    source, target = source_of(context), target_of(context)
    options = options_of(context.scene.recover_motion_retarget)
    try:
        bone_map = mapping_of(context.scene, target)
        shown = show(context, source, target, bone_map, options, frames)
    except RetargetProblem as problem:
        operator.report({"ERROR"}, str(problem))
        return {"CANCELLED"}
    for note in shown.notes:
        operator.report({"WARNING"}, note)
    return {"FINISHED"}


def _retarget_all(operator: bpy.types.Operator, context: bpy.types.Context) -> set[str]:
    """Instead of a frame's pose, give the whole motion to the character that shows it."""
    source, target = source_of(context), target_in(context.scene)
    options = options_of(context.scene.recover_motion_retarget)
    try:
        bone_map = mapping_of(context.scene, target)
        discard(context)
        result = core.retarget(context, source, target, bone_map, options, frames=frames_of(context))
    except RetargetProblem as problem:
        operator.report({"ERROR"}, str(problem))
        return {"CANCELLED"}
    report_result(operator, f"{target.name} moves by", result)
    return {"FINISHED"}


_CLASSES = (
    RECOVER_MOTION_OT_preview_frame,
    RECOVER_MOTION_OT_preview_range,
    RECOVER_MOTION_OT_preview_keep,
    RECOVER_MOTION_OT_preview_discard,
)


def register() -> None:
    """Register the operators."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the operators."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
