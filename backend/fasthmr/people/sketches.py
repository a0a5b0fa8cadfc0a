# SPDX-License-Identifier: Apache-2.0
"""What the live preview shows while people are found or looked at: a frame, boxes and limbs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from fasthmr.footage import Frame
from fasthmr.live_preview import Sketch
from fasthmr.people.detection import Detection
from fasthmr.people.landmarks import LANDMARK_LIMBS
from fasthmr.people.values import Track

_SEEN: Final = 0.3  # a limb of less visible ends is not drawn


def sketch_people(frame: Frame, found: Sequence[Detection]) -> Sketch:
    """A frame with the people that a detector found in it."""
    return _sketch(frame, [(one.box, one.landmarks_image, one.visibility) for one in found])


def sketch_tracks(frame: Frame, rows: Sequence[tuple[Track, int]]) -> Sketch:
    """A frame with people of tracks.

    Args:
        frame: with its picture.
        rows: tracks, and which of their rows belongs to the frame.
    """
    parts = [(track.boxes[row], track.landmarks_image[row], track.visibility[row]) for track, row in rows]
    return _sketch(frame, parts)


def _sketch(frame: Frame, people: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Sketch:
    height, width = frame.image.shape[:2]
    lines = [
        landmarks[[a, b], :2]
        for _, landmarks, visibility in people
        for a, b in LANDMARK_LIMBS
        if min(visibility[a], visibility[b]) >= _SEEN
    ]
    return Sketch(
        frame=frame.index,
        image_size=(width, height),
        image=frame.image,
        boxes=np.array([box for box, _, _ in people], np.float32).reshape(-1, 4),
        lines=np.array(lines, np.float32).reshape(-1, 2, 2),
    )
