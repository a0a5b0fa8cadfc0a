# SPDX-License-Identifier: Apache-2.0
"""What a detector of people gives for one frame, and the interface that a detector has.

BlazePose (:mod:`fasthmr.people.blazepose`) is the detector out of the box. Anything with the three
methods of :class:`PersonDetector` can stand in for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fasthmr.people.masks import PackedMask


@dataclass(frozen=True, slots=True)
class Detection:
    """One person in one frame.

    Args:
        box: (4,) x0, y0, x1, y1 in pixels; may reach outside of the image where the person does.
        landmarks_image: (33, 3) x and y in pixels, and depth in pixels relative to the middle of the
            hips (negative is nearer to the camera).
        landmarks_world: (33, 3) metres, camera axes (x right, y down, z forward), origin at the middle
            of the hips.
        visibility: (33,) 0..1, how likely each landmark is inside the image and not hidden.
        score: 0..1, how likely this is a person at all.
        mask: where the person is in the picture; None if the detector has none.
    """

    box: np.ndarray
    landmarks_image: np.ndarray
    landmarks_world: np.ndarray
    visibility: np.ndarray
    score: float
    mask: PackedMask | None = None


class PersonDetector(Protocol):
    """Finds the people in a clip, shot by shot, a few frames at a time."""

    def reset(self) -> None:
        """Forget the frames so far: the next ones belong to another shot."""
        ...

    def detect(self, images: Sequence[np.ndarray], timestamps: Sequence[float]) -> list[list[Detection]]:
        """The people in the next few frames of a shot.

        Frames come in short runs, so that a detector may look back and forth within a run, or take
        it as one batch.

        Args:
            images: consecutive frames, each (height, width, 3) uint8 RGB, all of one size.
            timestamps: seconds since the clip's first frame; increasing, also from call to call.

        Returns:
            The people of each frame, in no particular order.
        """
        ...

    def close(self) -> None:
        """Free what the detector holds; it is not used afterwards."""
        ...
