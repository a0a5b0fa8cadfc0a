# SPDX-License-Identifier: Apache-2.0
"""Where one shot ends and the next begins.

A cut changes the colours and the layout of the picture from one frame to the next, and stays. A flash
changes the colours for a moment; a fast pan or somebody close to the camera changes the layout in every
frame. So a cut must stand out against the frames around it, in both measures, and the frames after it must
not be those from before. Slow dissolves are not found: neither of their frames starts a shot.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

# How many frames after a suspected cut are looked at before it counts.
LOOKAHEAD: Final = 3
_CONTEXT: Final = 8
_MIN_DIFFERENCE: Final = 0.35
_MIN_RATIO: Final = 3.0
# A shot is at least this many frames long; shorter ones are flashes or damaged frames.
_MIN_FRAMES: Final = 3


@dataclass(frozen=True, slots=True)
class Signature:
    """A picture in a few numbers.

    Args:
        layout: (18 * 32,) lightness, zero mean and unit norm.
        colours: (8, 8, 8) shares of the picture, flattened.
    """

    layout: np.ndarray
    colours: np.ndarray


def signature(image: np.ndarray) -> Signature:
    """The signature of an image (height, width, 3) uint8 RGB."""
    step = max(1, min(image.shape[0] // 72, image.shape[1] // 128))
    small = cv2.resize(image[::step, ::step], (128, 72), interpolation=cv2.INTER_AREA)
    lightness = cv2.cvtColor(cv2.resize(small, (32, 18), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
    layout = lightness.astype(np.float32).ravel()
    layout -= layout.mean()
    norm = float(np.linalg.norm(layout))
    # A plain picture has no layout: noise must not become one.
    layout = layout / norm if norm > 2.0 * np.sqrt(layout.size) else np.zeros_like(layout)
    bins = np.right_shift(small, 5).reshape(-1, 3).astype(np.int64) @ (64, 8, 1)
    colours = np.bincount(bins, minlength=512).astype(np.float32)
    return Signature(layout, colours / colours.sum())


def picture_difference(a: Signature, b: Signature) -> float:
    """0..1, how unlike two pictures are: the geometric mean of layout and colours."""
    layout = 0.5 * float(np.sum((a.layout - b.layout) ** 2))  # one minus the correlation: 0..2
    colours = 0.5 * float(np.abs(a.colours - b.colours).sum())
    return float(np.sqrt(min(1.0, layout) * colours))


class CutFinder:
    """Finds cuts in frames that come one by one; answers :data:`LOOKAHEAD` frames late.

    Use :meth:`push` for every frame and :meth:`finish` at the end; together they give one answer a
    frame, in order: whether the frame starts a new shot. The first frame does not count as a cut.
    """

    def __init__(self) -> None:
        self._signatures: deque[Signature] = deque(maxlen=_CONTEXT + LOOKAHEAD + 1)
        self._differences: deque[float] = deque(maxlen=_CONTEXT + LOOKAHEAD + 1)
        self._undecided = 0
        self._since_cut = 0

    def push(self, image: np.ndarray) -> list[bool]:
        """Take the next frame; the answers that have become known (none or one)."""
        now = signature(image)
        self._differences.append(picture_difference(self._signatures[-1], now) if self._signatures else 0.0)
        self._signatures.append(now)
        self._undecided += 1
        return [self._decide()] if self._undecided > LOOKAHEAD else []

    def finish(self) -> list[bool]:
        """The answers for the last frames."""
        return [self._decide() for _ in range(self._undecided)]

    def _decide(self) -> bool:
        """Whether the oldest undecided frame is a cut."""
        at = len(self._signatures) - self._undecided
        self._undecided -= 1
        cut = at > 0 and self._since_cut >= _MIN_FRAMES and self._stands_out(at) and self._stays(at)
        self._since_cut = 1 if cut else self._since_cut + 1
        return cut

    def _stands_out(self, at: int) -> bool:
        differences = list(self._differences)
        here = differences[at]
        around = differences[max(1, at - _CONTEXT) : at] + differences[at + 1 :]
        return here >= _MIN_DIFFERENCE and here >= _MIN_RATIO * (float(np.median(around)) if around else 0.0)

    def _stays(self, at: int) -> bool:
        """Whether the frames that follow look like none of the last ones before: no flash begins or ends."""
        signatures = list(self._signatures)
        return all(
            picture_difference(before, later) >= 0.7 * _MIN_DIFFERENCE
            for before in signatures[max(0, at - LOOKAHEAD - 1) : at]
            for later in signatures[at:]
        )
