# SPDX-License-Identifier: GPL-3.0-or-later
"""The armature: SMPL's 24 joints as bones that an artist can work with.

SMPL's joints have no direction of their own. Each bone here starts at its joint and points at the
next one, connected where that is a straight chain (so that Auto IK works); head, hands and feet end
where the skin ends. All bones turn their z axis forward (feet: up), which is the same on both sides, so
that poses can be mirrored and knees and elbows bend about the local x axis.
"""

from __future__ import annotations

import bpy
import numpy as np
from mathutils import Vector

from .bone_look import dress_bones
from .edit_mode import edit_mode
from .rest_figure import FORWARD, UP, RestFigure
from .rotations import quat_from_matrix
from .skeleton import AIMS_AT, INDEX, JOINT_COUNT, JOINT_NAMES, PARENTS

_SHORTEST = 0.01
"""Blender drops bones of no length; metres."""

_FEET = ("left_ankle", "right_ankle", "left_foot", "right_foot")


def build_armature(
    context: bpy.types.Context, name: str, figure: RestFigure, collection: bpy.types.Collection
) -> bpy.types.Object:
    """Make the armature of a figure, at the world's origin, and link it to a collection of the scene."""
    armature = bpy.data.armatures.new(name)
    thing = bpy.data.objects.new(name, armature)
    thing.show_in_front = True  # the bones are inside the body
    collection.objects.link(thing)
    tails = bone_tails(figure)
    with edit_mode(context, thing):
        for joint, joint_name in enumerate(JOINT_NAMES):
            bone = armature.edit_bones.new(joint_name)
            bone.head = Vector(figure.joints[joint])
            bone.tail = Vector(tails[joint])
            bone.align_roll(Vector(UP if joint_name in _FEET else FORWARD))
            if PARENTS[joint] >= 0:
                bone.parent = armature.edit_bones[JOINT_NAMES[PARENTS[joint]]]
                bone.use_connect = np.array_equal(tails[PARENTS[joint]], figure.joints[joint])
    for bone in thing.pose.bones:
        bone.rotation_mode = "QUATERNION"
    dress_bones(thing, figure)
    return thing


def bone_tails(figure: RestFigure) -> np.ndarray:
    """Tails (24, 3) of the bones: the next joint, or where the skin ends."""
    tails = np.empty((JOINT_COUNT, 3))
    skinned_by = figure.body.weights.argmax(axis=1)
    for joint in range(JOINT_COUNT):
        head, aim = figure.joints[joint], AIMS_AT[joint]
        if aim is not None and np.linalg.norm(figure.joints[aim] - head) > _SHORTEST:
            tails[joint] = figure.joints[aim]
            continue
        direction = _leaf_direction(figure, joint)
        skin = figure.vertices[skinned_by == joint]
        length = ((skin - head) @ direction).max(initial=0)
        if length < _SHORTEST:  # no skin of its own
            length = max(0.5 * np.linalg.norm(head - figure.joints[max(PARENTS[joint], 0)]), _SHORTEST)
        tails[joint] = head + length * direction
    return tails


def _leaf_direction(figure: RestFigure, joint: int) -> np.ndarray:
    """Where a bone without a next joint points: the head up, the toes forward, a hand on along the arm."""
    if JOINT_NAMES[joint] in _FEET:
        return FORWARD
    if joint == INDEX["head"]:
        return UP
    along = figure.joints[joint] - figure.joints[max(PARENTS[joint], 0)]
    length = np.linalg.norm(along)
    return along / length if length > _SHORTEST else UP


def rest_quats(armature: bpy.types.Object) -> np.ndarray:
    """Orientation (24, 4) of the bones at rest, from bone to armature axes, in SMPL's joint order."""
    bones = armature.data.bones
    return quat_from_matrix(np.array([bones[name].matrix_local.to_3x3() for name in JOINT_NAMES]))
