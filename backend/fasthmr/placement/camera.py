# SPDX-License-Identifier: Apache-2.0
"""The camera that filmed the clip: its focal length, and the frame of the world under it.

First version: one focal length a clip, no lens distortion, a camera that stands still and is level.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from fasthmr.errors import BadCall
from fasthmr.footage import FootageInfo

# Diagonal in millimetres of the 36 x 24 mm frame that "35 mm equivalent" focal lengths speak of.
_FULL_FRAME_DIAGONAL: Final = math.hypot(36.0, 24.0)

# Rotation of a level camera that looks along the world's +y: its x stays x, its "down" is the world's
# -z, and its viewing direction is +y.
LEVEL_CAMERA: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def camera_intrinsics(info: FootageInfo, fov_degrees: float | None = None) -> np.ndarray:
    """The camera matrix of a clip.

    The focal length is the user's, else the one the footage carries, else as long as the picture's
    diagonal: the choice of CLIFF (Li et al., ECCV 2022, section 3.3), a view of 53 degrees across the
    diagonal, near the middle of what cameras have.

    Args:
        info: the footage, for its size and metadata.
        fov_degrees: horizontal field of view, or None.

    Returns:
        (3, 3) float64 in pixels; the principal point is the middle of the picture.

    Raises:
        BadCall: the field of view is not between 1 and 170 degrees.
    """
    return np.array(
        [
            [focal := focal_length(info, fov_degrees)[0], 0.0, info.width / 2],
            [0.0, focal, info.height / 2],
            [0.0, 0.0, 1.0],
        ]
    )


def focal_length(info: FootageInfo, fov_degrees: float | None = None) -> tuple[float, str]:
    """Focal length in pixels, and where it comes from: "given", "metadata" or "default".

    Raises:
        BadCall: the field of view is not between 1 and 170 degrees.
    """
    diagonal = math.hypot(info.width, info.height)
    if fov_degrees is not None:
        if not 1.0 <= fov_degrees <= 170.0:
            raise BadCall(f"A horizontal field of view of {fov_degrees:g} degrees is not between 1 and 170.")
        return info.width / 2 / math.tan(math.radians(fov_degrees) / 2), "given"
    if info.focal_35mm:
        return info.focal_35mm * diagonal / _FULL_FRAME_DIAGONAL, "metadata"
    return diagonal, "default"
