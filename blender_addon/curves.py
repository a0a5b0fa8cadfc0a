# SPDX-License-Identifier: GPL-3.0-or-later
"""Keys written in bulk."""

from __future__ import annotations

import bpy
import numpy as np

from .compat import Channels

_LINEAR = bpy.types.Keyframe.bl_rna.properties["interpolation"].enum_items["LINEAR"].value


def write_curves(
    channels: Channels, data_path: str, group: str, frames: np.ndarray, values: np.ndarray
) -> None:
    """Key a property at every frame given, with straight lines between.

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
