# SPDX-License-Identifier: GPL-3.0-or-later
"""The path of the root through the world: kept in place, set on the floor. Metres, z up."""

from __future__ import annotations

from typing import Literal

import numpy as np

InPlace = Literal["OFF", "TREND", "FULL"]


def in_place(path: np.ndarray, way: InPlace) -> np.ndarray:
    """Take out the horizontal motion of a path; heights stay.

    Args:
        path: (T, 3).
        way: ``FULL`` holds the root over its first place. ``TREND`` takes out only the steady travel, as a
            treadmill would: the straight line through all frames with the least squared distances. Swaying
            and speeding up within a step are left. ``OFF`` leaves the path as it is.

    Returns:
        (T, 3), beginning where `path` does.
    """
    path = np.array(path, np.float64)
    if way == "OFF" or len(path) == 1:
        return path
    if way == "FULL":
        path[:, :2] = path[0, :2]
        return path
    time = np.arange(len(path)) - (len(path) - 1) / 2
    speed = time @ path[:, :2] / (time @ time)
    path[:, :2] -= np.arange(len(path))[:, None] * speed
    return path


def lift_to_floor(sole_heights: np.ndarray, share_below: float, floor: float) -> float:
    """By how much to lift a motion (lower it, if negative), so that its soles are on the floor.

    Args:
        sole_heights: (T, P) heights of points under the soles.
        share_below: 0..1, the share of frames in which the lowest of them may be below the floor. A few
            per cent keep a single bad frame from lifting the whole motion.
        floor: height of the floor.
    """
    return floor - float(np.quantile(sole_heights.min(axis=1), share_below))
