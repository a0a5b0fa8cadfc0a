# SPDX-License-Identifier: GPL-3.0-or-later
"""What detection needs of Blender: an armature's bones as values, and where the user's presets are."""

from __future__ import annotations

from pathlib import Path

import bpy

from .mapping import RigBone

_PACKAGE = __package__.rpartition(".")[0]


def rig_bones(armature: bpy.types.Object) -> list[RigBone]:
    """The bones of an armature object at rest, in armature space."""
    return [
        RigBone(
            name=bone.name,
            parent=bone.parent.name if bone.parent else "",
            head=tuple(bone.head_local),
            tail=tuple(bone.tail_local),
            deforms=bone.use_deform,
            properties=frozenset(armature.pose.bones[bone.name].keys()),
        )
        for bone in armature.data.bones
    ]


def presets_folder() -> Path:
    """The folder of the user's own presets; it may not exist yet. Updates of the add-on leave it alone."""
    try:
        return Path(bpy.utils.extension_path_user(_PACKAGE)) / "retarget_presets"
    except ValueError:  # not installed as an extension
        return Path(bpy.utils.user_resource("DATAFILES"), "recover_motion", "retarget_presets").absolute()
