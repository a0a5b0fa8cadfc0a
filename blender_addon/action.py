# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys: the motion on the bones, how sure it is, and any other curves, written in bulk."""

from __future__ import annotations

import bpy
import numpy as np

from .compat import Channels
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

CONFIDENCE = "confidence"
"""Custom property of the armature: how sure the motion is at this frame, 0 to 1, over all joints."""

JOINT_CONFIDENCE = "joint_confidence"
"""Custom property of the armature: the same for each joint, in SMPL's order."""

_LINEAR = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value


def write_curves(
    channels: Channels, data_path: str, group: str, frames: np.ndarray, values: np.ndarray
) -> None:
    """Key a property at every frame, with straight lines between.

    Args:
        channels: the action's curves.
        data_path: the property, from the data-block on.
        group: name of the curves' group.
        frames: (F,) scene frames, increasing.
        values: (F,) for a single value, (F, N) for an array property.
    """
    keys = np.empty((len(frames), 2), np.float32)
    keys[:, 0] = frames
    linear = np.full(len(frames), _LINEAR, np.int32)
    for index, column in enumerate(np.atleast_2d(values.T)):
        curve = channels.new(data_path, index, group)
        curve.keyframe_points.add(len(frames))
        keys[:, 1] = column
        curve.keyframe_points.foreach_set("co", keys.ravel())
        curve.keyframe_points.foreach_set("interpolation", linear)
        curve.update()


def key_motion(
    name: str, motion: MotionFile, figure: RestFigure, armature: bpy.types.Object, sampling: SceneSampling
) -> bpy.types.Action:
    """Key the armature with the motion, at every scene frame that the motion covers."""
    # A turn D about the armature's axes is B^-1 D B in the axes of a bone with orientation B.
    rest = rest_quats(armature)
    turns = sampling.rotations(turns_of_figure(quat_from_rotvec(motion.poses)))
    quats = without_sign_jumps(quat_multiply(quat_inverse(rest), quat_multiply(turns, rest)))
    pelvis = figure.pelvis_in_world(sampling.values(motion.trans))
    locations = (pelvis - figure.joints[0]) @ matrix_from_quat(rest[0])

    channels = Channels(armature, name, SLOT_NAME)
    for joint, joint_name in enumerate(JOINT_NAMES):
        path = f'pose.bones["{joint_name}"]'
        if joint == 0:
            write_curves(channels, f"{path}.location", joint_name, sampling.frames, locations)
        write_curves(channels, f"{path}.rotation_quaternion", joint_name, sampling.frames, quats[:, joint])
    if motion.confidence is not None:
        _key_confidence(channels, armature, sampling.frames, sampling.values(motion.confidence))
    return channels.action


def _key_confidence(
    channels: Channels, armature: bpy.types.Object, frames: np.ndarray, confidence: np.ndarray
) -> None:
    """Custom properties that tell an artist where to look closely, and drivers what to trust."""
    armature[CONFIDENCE] = 1.0
    armature[JOINT_CONFIDENCE] = [1.0] * len(JOINT_NAMES)
    descriptions = {
        CONFIDENCE: "How sure the recovered motion is at this frame",
        JOINT_CONFIDENCE: "How sure each joint is at this frame, pelvis first",
    }
    for name, description in descriptions.items():
        armature.id_properties_ui(name).update(min=0.0, max=1.0, description=description)
    write_curves(channels, f'["{CONFIDENCE}"]', "Confidence", frames, confidence.mean(axis=1))
    write_curves(channels, f'["{JOINT_CONFIDENCE}"]', "Confidence", frames, confidence)
