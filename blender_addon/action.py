# SPDX-License-Identifier: GPL-3.0-or-later
"""A take: the motion on the bones and how sure it is, as an action."""

from __future__ import annotations

import bpy
import numpy as np

from .compat import Channels
from .confidence import OBJECT_PATH, bone_path, key_confidence
from .curves import write_curves
from .motion_file import MotionFile
from .resample import SceneSampling
from .rest_figure import RestFigure, turns_of_figure
from .rig import rest_quats
from .rotations import (
    matrix_from_quat,
    quat_from_rotvec,
    quat_inverse,
    quat_multiply,
    without_sign_jumps,
)
from .skeleton import JOINT_NAMES

SLOT_NAME = "Recovered"
"""The same in every action, so that Blender finds the slot when one take is put in another's place."""

ROOT_PATH = f'pose.bones["{JOINT_NAMES[0]}"].location'
"""Data path of the root's location, from the armature object on."""


def turn_path(joint: str) -> str:
    """Data path of a bone's rotation."""
    return f'pose.bones["{joint}"].rotation_quaternion'


WRITTEN = frozenset(
    (ROOT_PATH, OBJECT_PATH, *(path(joint) for joint in JOINT_NAMES for path in (turn_path, bone_path)))
)
"""Data paths of all curves that a take may have; any other curve in its action is the user's."""


def key_motion(
    channels: Channels,
    motion: MotionFile,
    figure: RestFigure,
    armature: bpy.types.Object,
    sampling: SceneSampling,
) -> bpy.types.Action:
    """Key an armature with a motion, at every scene frame that the motion covers.

    Args:
        channels: the curves of an action that has no keys of a take yet.
        motion: the motion.
        figure: the body that the motion was made with.
        armature: its rig, or an earlier one of the same person: the pelvis then goes where the motion has it.
        sampling: the scene frames.
    """
    # A turn D about the armature's axes is B^-1 D B in the axes of a bone with orientation B.
    rest = rest_quats(armature)
    turns = sampling.rotations(turns_of_figure(quat_from_rotvec(motion.poses)))
    quats = without_sign_jumps(quat_multiply(quat_inverse(rest), quat_multiply(turns, rest)))
    pelvis = figure.pelvis_in_world(sampling.values(motion.trans))
    rest_pelvis = np.array(armature.data.bones[JOINT_NAMES[0]].head_local)
    locations = (pelvis - rest_pelvis) @ matrix_from_quat(rest[0])

    write_curves(channels, ROOT_PATH, JOINT_NAMES[0], sampling.frames, locations)
    for joint, name in enumerate(JOINT_NAMES):
        write_curves(channels, turn_path(name), name, sampling.frames, quats[:, joint])
    if motion.confidence is not None:
        key_confidence(channels, armature, sampling.frames, sampling.values(motion.confidence))
    return channels.action
