# SPDX-License-Identifier: Apache-2.0
"""Turning pictures upright by the flag that phones write instead of turning the pixels.

MP4 and QuickTime keep a 3x3 display matrix for the track (ISO/IEC 14496-12, 8.3.2, 16.16 fixed
point), EXIF a number from 1 to 8; FFmpeg hands both on as the frame's display matrix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import av
import cv2
import numpy as np


@dataclass(frozen=True)
class Orientation:
    """How stored pixels become an upright picture: mirror left to right first, then turn.

    Attributes:
        mirrored: whether the stored picture is mirrored left to right.
        clockwise: degrees, one of 0, 90, 180, 270.
    """

    mirrored: bool = False
    clockwise: int = 0

    @property
    def swaps_sides(self) -> bool:
        """Whether width and height change places."""
        return self.clockwise in (90, 270)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Turn a picture (H, W, 3) upright; contiguous, and the same array where nothing is to do."""
        if self.mirrored:
            image = cv2.flip(image, 1)
        code = _ROTATE_CODES.get(self.clockwise)
        return image if code is None else cv2.rotate(image, code)


_ROTATE_CODES = {
    90: cv2.ROTATE_90_CLOCKWISE,
    180: cv2.ROTATE_180,
    270: cv2.ROTATE_90_COUNTERCLOCKWISE,
}


def orientation_of(frame: av.VideoFrame) -> Orientation:
    """Read a decoded frame's display matrix; upright where it has none."""
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:
        # PyAV names the kinds of side data in an enum and refuses one that it does not know, which
        # hides the others; the plain angle stays readable.
        return Orientation(clockwise=_quarter_turns(-frame.rotation))
    if matrix is None:
        return Orientation()
    return from_display_matrix(np.frombuffer(bytes(matrix), np.int32))


def from_display_matrix(matrix: np.ndarray) -> Orientation:
    """Nearest of the eight orientations of a display matrix.

    Args:
        matrix: nine int32 in 16.16 fixed point, ``[a b u; c d v; x y w]``, which take a stored pixel
            (p, q), y down, to (a p + c q, b p + d q) on screen (FFmpeg, ``libavutil/display.h``).
    """
    a, b, _, c, d = (float(value) for value in matrix[:5])
    determinant = a * d - b * c
    if determinant == 0.0:  # a matrix of zeros, which some recorders write: no orientation at all
        return Orientation()
    mirrored = determinant < 0.0
    if mirrored:  # undo the mirror that comes first: p -> -p
        a, b = -a, -b
    # With y down, the screen direction of the stored x axis turns clockwise for positive angles.
    return Orientation(mirrored, _quarter_turns(math.degrees(math.atan2(b, a))))


def _quarter_turns(degrees: float) -> int:
    """Nearest quarter turn, as 0, 90, 180 or 270 degrees."""
    return round(degrees / 90.0) % 4 * 90
