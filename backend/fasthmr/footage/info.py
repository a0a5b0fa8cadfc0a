# SPDX-License-Identifier: Apache-2.0
"""What is known of a piece of footage, and one of its frames: plain values without behaviour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np

# Film's rate, and Blender's default: taken where nothing says how fast the pictures follow each other.
DEFAULT_FRAME_RATE: Final = 24.0


@dataclass(frozen=True)
class FootageInfo:
    """Facts about a whole clip.

    Attributes:
        path: the file, folder or pattern as it was given.
        kind: "video" for one file, "images" for an image sequence (or a single picture).
        width: pixels, after the rotation flag and with square pixels.
        height: pixels, after the rotation flag and with square pixels.
        rotation: degrees clockwise that were applied to the stored pictures: 0, 90, 180 or 270.
        frame_rate: average frames per second.
        variable_rate: the gaps between frames differ by more than rounding.
        frame_count: frames in the whole clip, counted from its packets; 0 when unknown.
        duration: seconds, the last frame's own stay included.
        focal_35mm: focal length in millimetres of 35 mm film, where the metadata tells; else None.
    """

    path: Path
    kind: Literal["video", "images"]
    width: int
    height: int
    rotation: int
    frame_rate: float
    variable_rate: bool
    frame_count: int
    duration: float
    focal_35mm: float | None


@dataclass(frozen=True)
class Frame:
    """One picture of a clip.

    Attributes:
        index: position in the whole clip, from 0, also when reading began later.
        time: seconds since the clip's first frame.
        image: (H, W, 3) uint8, RGB, contiguous, upright.
    """

    index: int
    time: float
    image: np.ndarray
