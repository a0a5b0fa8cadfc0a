# SPDX-License-Identifier: GPL-3.0-or-later
"""How sure the motion is, as animated properties: where to look closely, and what drivers can trust.

The armature object has the mean of all joints, each pose bone its own. Both are called `confidence`, reach
from 0 (lost) to 1, and are keyed in the take's action in a group of their own. Confidence flickers from frame
to frame without meaning anything by it, so only the keys are written that bring the curve within `TOLERANCE`
of what was measured.
"""

from __future__ import annotations

from typing import Final

import bpy
import numpy as np

from .compat import Channels
from .curves import write_curves
from .skeleton import JOINT_NAMES

CONFIDENCE: Final = "confidence"
"""Custom property of the armature object and of each pose bone, 0 to 1."""

GROUP: Final = "Confidence"

TOLERANCE: Final = 0.02
"""The curves are nowhere further than this from the motion file's values at whole frames."""


def bone_path(joint: str) -> str:
    """Data path of a bone's confidence, from the armature object on."""
    return f'pose.bones["{joint}"]["{CONFIDENCE}"]'


OBJECT_PATH: Final = f'["{CONFIDENCE}"]'
"""Data path of the whole person's confidence."""


def key_confidence(
    channels: Channels, armature: bpy.types.Object, frames: np.ndarray, confidence: np.ndarray
) -> None:
    """Key an armature's confidence.

    Args:
        channels: the take's curves.
        armature: gets the properties.
        frames: (F,) scene frames, increasing.
        confidence: (F, 24) of the joints at these frames, 0 to 1.
    """
    _add_property(armature, "How sure the recovered motion is at this frame: 1 is certain, 0 is lost")
    for joint in JOINT_NAMES:
        _add_property(armature.pose.bones[joint], "How sure this joint is at this frame")
    curves = np.column_stack([confidence.mean(axis=1), confidence])
    paths = [OBJECT_PATH, *(bone_path(joint) for joint in JOINT_NAMES)]
    kept = thinned(frames, curves, TOLERANCE)
    for path, values, keys in zip(paths, curves.T, kept, strict=True):
        write_curves(channels, path, GROUP, frames[keys], values[keys])


def _add_property(owner: bpy.types.Object | bpy.types.PoseBone, description: str) -> None:
    owner[CONFIDENCE] = 1.0
    owner.id_properties_ui(CONFIDENCE).update(min=0.0, max=1.0, description=description)


def thinned(frames: np.ndarray, values: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """Which samples to keep so that straight lines between them stay close to all the others.

    One pass over the frames for all curves at once: a line from the last kept sample may go on as long as
    some slope passes within the tolerance of everything since, and reaches the new sample itself.

    Args:
        frames: (F,) increasing.
        values: (F, N) curves.
        tolerance: largest distance in value.

    Returns:
        N arrays of increasing indices into `frames`, the first and the last sample always among them.
    """
    count, curves = values.shape
    frames = frames.astype(np.float64)
    kept = np.zeros((count, curves), bool)
    kept[[0, -1]] = True
    start_frame, start = np.full(curves, frames[0]), values[0].astype(np.float64)
    low, high = np.full(curves, -np.inf), np.full(curves, np.inf)
    for index in range(1, count):
        run = frames[index] - start_frame
        slope = (values[index] - start) / run
        broken = (slope < low) | (slope > high)
        if broken.any():
            kept[index - 1, broken] = True
            start_frame[broken], start[broken] = frames[index - 1], values[index - 1, broken]
            low[broken], high[broken] = -np.inf, np.inf
            run = frames[index] - start_frame
            slope = (values[index] - start) / run
        low = np.maximum(low, slope - tolerance / run)
        high = np.minimum(high, slope + tolerance / run)
    return [np.flatnonzero(kept[:, curve]) for curve in range(curves)]
