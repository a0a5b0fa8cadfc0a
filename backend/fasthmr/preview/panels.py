# SPDX-License-Identifier: Apache-2.0
"""The pictures around the figures: sizes, blending over the footage, labels, the strip of moments."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from fasthmr.preview.renderer import BACKGROUND

LONGEST_SIDE: Final = 960  # pixels of the overlay
_SHORTEST_LONG_SIDE: Final = 480  # footage of a few pixels is enlarged, so that labels fit
_OPACITY: Final = 0.68
_GAP: Final = 8  # pixels between the moments of a strip
_STRIP_WIDTH: Final = 1800
_WHITE: Final = (240, 240, 240)
_BLACK: Final = (0, 0, 0)


def overlay_size(width: int, height: int) -> tuple[int, int]:
    """Even width and height to draw footage at: its own, within limits for the longer side."""
    longest = min(max(width, height, _SHORTEST_LONG_SIDE), LONGEST_SIDE)
    scale = longest / max(width, height)
    return _even(width * scale), _even(height * scale)


def side_size(width: int, height: int) -> tuple[int, int]:
    """Size of the side view beside an overlay: as high, and about square."""
    return _even(min(height, max(width, 0.6 * height))), height


def blend(footage: np.ndarray, figures: np.ndarray) -> None:
    """Lay figures over footage, half transparent, in place.

    Args:
        footage: (H, W, 3) uint8; changed.
        figures: (H, W, 4) uint8, colours multiplied by coverage.
    """
    coverage = figures[..., 3]
    x, y, width, height = cv2.boundingRect(coverage)
    if width == 0:
        return
    part = np.s_[y : y + height, x : x + width]
    kept = 1.0 - _OPACITY / 255.0 * coverage[part].astype(np.float32)
    footage[part] = (footage[part] * kept[..., None] + _OPACITY * figures[part][..., :3] + 0.5).astype(
        np.uint8
    )


def label(image: np.ndarray, text: str, line: int = 0, colour: tuple[int, int, int] = _WHITE) -> None:
    """Write a line of text into the upper left corner, outlined to be readable on any ground, in place."""
    scale = max(0.45, min(image.shape[:2]) / 680)
    thickness = max(1, round(1.4 * scale))
    x, y = round(14 * scale), round(32 * scale * (line + 1))
    # The outline is the same text moved about: a thicker one would be wider in OpenCV's newer fonts.
    around = [(dx, dy) for dx in (-thickness, 0, thickness) for dy in (-thickness, 0, thickness) if dx or dy]
    for dx, dy, shade in [*((dx, dy, _BLACK) for dx, dy in around), (0, 0, colour)]:
        cv2.putText(
            image, text, (x + dx, y + dy), cv2.FONT_HERSHEY_SIMPLEX, scale, shade, thickness, cv2.LINE_AA
        )


def moments(first: int, last: int, count: int) -> list[int]:
    """Frame numbers spread evenly from ``first`` to ``last``, each in the middle of its share; none twice."""
    share = (last - first + 1) / count
    return sorted({first + math.floor((number + 0.5) * share) for number in range(count)})


def strip(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Arrange pictures of one size in rows, as near to 16:10 as whole rows allow.

    Args:
        pictures: (H, W, 3) uint8 each, at least one.
    """
    height, width = pictures[0].shape[:2]

    def shape_error(columns: int) -> float:
        rows = math.ceil(len(pictures) / columns)
        empty = columns * rows - len(pictures)
        return abs(math.log(columns * width / (rows * height) / 1.6)) + empty / len(pictures)

    columns = min(range(1, len(pictures) + 1), key=shape_error)
    rows = math.ceil(len(pictures) / columns)
    scale = min(1.0, (_STRIP_WIDTH - _GAP * (columns + 1)) / (columns * width))
    small_width, small_height = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.empty(
        (_GAP + rows * (small_height + _GAP), _GAP + columns * (small_width + _GAP), 3), np.uint8
    )
    canvas[:] = BACKGROUND
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        top, left = _GAP + row * (small_height + _GAP), _GAP + column * (small_width + _GAP)
        canvas[top : top + small_height, left : left + small_width] = cv2.resize(
            picture, (small_width, small_height), interpolation=cv2.INTER_AREA
        )
    return canvas


def _even(pixels: float) -> int:
    """Nearest even number from 2 on: 4:2:0 video has no odd sizes."""
    return max(2, 2 * round(pixels / 2))
