# SPDX-License-Identifier: GPL-3.0-or-later
"""The buttons in the list of bones, each of them one undo step."""

import bpy
from bpy.app.translations import pgettext_n as n_

from .chosen import problem_of_target, target_of
from .mapping_list import add_row, clear_row, find_list, make_list


def _may_edit(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether there is a character whose list could be edited; when not, the tooltip says why."""
    reason = problem_of_target(context)
    if reason:
        cls.poll_message_set(reason)
    return not reason


class _OnRow:
    """What the operators share that work on one row."""

    bl_options = {"REGISTER", "UNDO", "INTERNAL"}  # noqa: RUF012 (Blender's own form)

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A character is chosen, and has a list."""
        if not _may_edit(cls, context):
            return False
        if find_list(context.scene.recover_motion_retarget, target_of(context)) is None:
            cls.poll_message_set(n_("There is no list yet: click Detect, or Edit by Hand"))
            return False
        return True

    def listed(self, context: bpy.types.Context) -> bpy.types.PropertyGroup | None:
        """The list; None when the row that is asked for is not in it."""
        listed = find_list(context.scene.recover_motion_retarget, target_of(context))
        if 0 <= self.index < len(listed.bones):
            return listed
        self.report({"ERROR"}, f"The list has no row {self.index}.")
        return None


class RECOVER_MOTION_OT_start_list(bpy.types.Operator):
    """Make an empty list."""

    bl_description = "Make an empty list of bones for this character, to choose each bone yourself"
    bl_idname = "recover_motion.start_list"
    bl_label = "Edit by Hand"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A character is chosen."""
        return _may_edit(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Make it, unless it is there."""
        make_list(context.scene.recover_motion_retarget, target_of(context))
        return {"FINISHED"}


class RECOVER_MOTION_OT_clear_row(_OnRow, bpy.types.Operator):
    """Take the bone out of a row."""

    bl_description = "Take this bone out of the list"
    bl_idname = "recover_motion.clear_row"
    bl_label = "Clear Bone"

    index: bpy.props.IntProperty(name="Row", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Clear it."""
        listed = self.listed(context)
        if listed is None:
            return {"CANCELLED"}
        clear_row(listed, self.index)
        return {"FINISHED"}


class RECOVER_MOTION_OT_add_row(_OnRow, bpy.types.Operator):
    """Add a row for a further bone of a part."""

    bl_description = "Add a further bone for this part, farther from the pelvis; they share the rotation"
    bl_idname = "recover_motion.add_row"
    bl_label = "Add Bone"

    index: bpy.props.IntProperty(name="Row", options={"HIDDEN", "SKIP_SAVE"})

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Add it behind the others of the part."""
        listed = self.listed(context)
        if listed is None:
            return {"CANCELLED"}
        add_row(listed, listed.bones[self.index].role)
        return {"FINISHED"}


class RECOVER_MOTION_OT_pick_bone(_OnRow, bpy.types.Operator):
    """Take the active bone."""

    bl_description = "Use the bone that is active in Pose Mode"
    bl_idname = "recover_motion.pick_bone"
    bl_label = "Pick Active Bone"

    index: bpy.props.IntProperty(name="Row", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A bone of the target is active in Pose Mode."""
        if not super().poll(context):
            return False
        bone = getattr(context, "active_pose_bone", None)
        if bone is None or bone.id_data != target_of(context):
            cls.poll_message_set(n_("Go to Pose Mode with the character and click one of its bones"))
            return False
        return True

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Write its name into the row."""
        listed = self.listed(context)
        if listed is None:
            return {"CANCELLED"}
        listed.bones[self.index].bone = context.active_pose_bone.name
        return {"FINISHED"}


_CLASSES = (
    RECOVER_MOTION_OT_start_list,
    RECOVER_MOTION_OT_clear_row,
    RECOVER_MOTION_OT_add_row,
    RECOVER_MOTION_OT_pick_bone,
)


def register() -> None:
    """Register the operators."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    """Unregister the operators."""
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
