# SPDX-License-Identifier: GPL-3.0-or-later
"""The buttons for many at once, each of them one undo step."""

from collections.abc import Sequence

import bpy
from bpy.app.translations import pgettext_n as n_

from .batch import (
    Done,
    Motion,
    bodies_in,
    characters_in,
    many_to_one,
    one_to_many,
    summary,
    takes_of,
)
from .chosen import (
    frames_of,
    options_of,
    problem_of,
    problem_of_mode,
    problem_of_source,
    problem_of_target,
    source_of,
    target_of,
)
from .options import Options
from .preview import discard, is_shown


class RECOVER_MOTION_OT_retarget_selected(bpy.types.Operator):
    """Give the source's motion to every selected character."""

    bl_description = (
        "Give the source's motion to every selected character, each by its own list of bones or, where it has"
        " none, by detection. One that fails does not stop the others"
    )
    bl_idname = "recover_motion.retarget_selected"
    bl_label = "To Selected Characters"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012 (Blender's own form)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is a source with a motion, and characters are selected."""
        reason = problem_of_mode(context) or problem_of_source(context)
        if not reason and not _selected_characters(context):
            reason = n_("Select the characters that are to move: their armatures, or their skins")
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do each."""
        options, targets = _prepare(context), _selected_characters(context)
        motion = Motion(source_of(context), frames=frames_of(context))
        return _told(self, one_to_many(context, motion, targets, options))


class RECOVER_MOTION_OT_retarget_bodies(bpy.types.Operator):
    """Give the motion of every selected body to the target."""

    bl_description = (
        "Give the target the motion of every selected recovered body: a new action each. The last one moves"
        " it then"
    )
    bl_idname = "recover_motion.retarget_bodies"
    bl_label = "From Selected Bodies"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A character is chosen, and recovered bodies are selected."""
        reason = problem_of_mode(context) or problem_of_target(context)
        if not reason and not _selected_bodies(context):
            reason = n_("Select the recovered bodies whose motions to take")
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do each."""
        motions = [Motion(body, frames=frames_of(context)) for body in _selected_bodies(context)]
        return _to_target(self, context, motions)


class RECOVER_MOTION_OT_retarget_takes(bpy.types.Operator):
    """Give every recovered action of the source to the target."""

    bl_description = (
        "Give the target every recovered action of the source that is in the file: a new action each. Where"
        " one was cleaned up, the cleaned one is taken. The last one moves the target"
    )
    bl_idname = "recover_motion.retarget_takes"
    bl_label = "All Takes of the Source"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is a source with a motion, and a character that can take it."""
        reason = problem_of(context)
        if reason:
            cls.poll_message_set(reason)
        return not reason

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do each."""
        return _to_target(self, context, takes_of(source_of(context), frames_of(context)))


def _prepare(context: bpy.types.Context) -> Options:
    """End a preview, as it would be in the way; returns how to retarget."""
    if is_shown(context.scene):
        discard(context)
    return options_of(context.scene.recover_motion_retarget)


def _to_target(
    operator: bpy.types.Operator, context: bpy.types.Context, motions: Sequence[Motion]
) -> set[str]:
    options = _prepare(context)
    use_nla = context.scene.recover_motion_retarget.use_nla
    return _told(operator, many_to_one(context, motions, target_of(context), options, use_nla=use_nla))


def _told(operator: bpy.types.Operator, done: Sequence[Done]) -> set[str]:
    """Report what came of it; nothing has changed when all failed."""
    for one in done:
        for note in one.result.notes if one.result else ():
            operator.report({"WARNING"}, f"{one.target}: {note}")
    failed = all(one.problem for one in done)
    kind = "ERROR" if failed else "WARNING" if any(one.problem for one in done) else "INFO"
    operator.report({kind}, summary(done))
    return {"CANCELLED"} if failed else {"FINISHED"}


def _selected_characters(context: bpy.types.Context) -> list[bpy.types.Object]:
    return characters_in(context.selected_objects)


def _selected_bodies(context: bpy.types.Context) -> list[bpy.types.Object]:
    target = target_of(context)
    return [body for body in bodies_in(context.selected_objects) if body != target]


_CLASSES = (
    RECOVER_MOTION_OT_retarget_selected,
    RECOVER_MOTION_OT_retarget_bodies,
    RECOVER_MOTION_OT_retarget_takes,
)


def register() -> None:
    """Register the operators."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the operators."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
