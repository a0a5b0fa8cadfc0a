# SPDX-License-Identifier: Apache-2.0
"""Things that stand between the camera and a person: poles, boards, plants, tables, drawn over a crop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

_TRIES: Final = 6
_LEAST_LEFT: Final = 0.35  # of the person's mask
_LEAST_HIDDEN: Final = 0.04


def random_cover(mask: np.ndarray, random: np.random.Generator) -> np.ndarray | None:
    """Draw the outline of something that hides a part of a person.

    Args:
        mask: (H, W) bool, the person.
        random: of everything drawn.

    Returns:
        (H, W) float32 in 0..1, how much of each pixel is covered; it hides between 4 and 65 % of the
        mask. None where nothing fitting was found.
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    box = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float64)
    for _ in range(_TRIES):
        cover = np.zeros(mask.shape, np.uint8)
        _draw(cover, box, random)
        hidden = float((cover[mask] > 127).mean())
        if _LEAST_HIDDEN <= hidden <= 1 - _LEAST_LEFT:
            return cover.astype(np.float32) / 255
    return None


def random_material(
    size: tuple[int, int], pictures: Sequence[np.ndarray], random: np.random.Generator
) -> np.ndarray:
    """What the thing is made of.

    Args:
        size: width and height, pixels.
        pictures: (H, W, 3) uint8, pieces of which are taken.
        random: of everything drawn.

    Returns:
        (height, width, 3) float32 in 0..255.
    """
    width, height = size
    if random.random() < 0.3:  # painted: a colour that light falls on from a side
        colour = random.uniform(10, 245, 3)
        slope = np.linspace(0.8, 1.2, width)[:: int(random.choice([-1, 1]))]
        return (colour * np.broadcast_to(slope[None, :, None], (height, width, 1))).astype(np.float32)
    picture = pictures[int(random.integers(len(pictures)))]
    side = int(min(picture.shape[:2]) * random.uniform(0.1, 0.9))
    y, x = (int(random.integers(length - side + 1)) for length in picture.shape[:2])
    piece = cv2.resize(picture[y : y + side, x : x + side], size, interpolation=cv2.INTER_LINEAR)
    return piece.astype(np.float32) * random.uniform(0.5, 1.3, 3).astype(np.float32)


def lay_over(image: np.ndarray, cover: np.ndarray, material: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: the image with the material where the cover (H, W) is."""
    share = cover[..., None]
    return ((1 - share) * image + share * material).clip(0, 255).astype(np.uint8)


def _draw(cover: np.ndarray, box: np.ndarray, random: np.random.Generator) -> None:
    """One of five kinds of things, white on black."""
    low, extent = box[:2], box[2:] - box[:2]
    middle = low + extent * random.uniform(0, 1, 2)
    kind = random.integers(5)
    if kind == 0:  # a box or a board
        half = extent.max() * random.uniform(0.08, 0.35, 2)
        tilt = random.normal(scale=0.3)
        turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
        corners = middle + (half * [(-1, -1), (1, -1), (1, 1), (-1, 1)]) @ turn.T
        _polygon(cover, corners)
    elif kind == 1:  # something round
        half = extent.max() * random.uniform(0.08, 0.3, 2)
        axes = (max(1, int(half[0])), max(1, int(half[1])))
        centre = (int(middle[0]), int(middle[1]))
        cv2.ellipse(cover, centre, axes, float(random.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
    elif kind == 2:  # poles, or a railing
        count, width = int(random.integers(1, 5)), extent.max() * random.uniform(0.015, 0.08)
        upright = random.random() < 0.7
        gap = extent.max() * random.uniform(0.1, 0.4)
        for number in range(count):
            at = middle + gap * number * (np.array([1.0, 0.0]) if upright else np.array([0.0, 1.0]))
            reach = np.array([random.normal(scale=10), 600.0])
            reach = reach if upright else reach[::-1]
            across = width * (np.array([1.0, 0.0]) if upright else np.array([0.0, 1.0]))
            _polygon(
                cover,
                np.stack(
                    [at - reach - across, at - reach + across, at + reach + across, at + reach - across]
                ),
            )
    elif kind == 3:  # a table or a wall that everything below, or beside, is behind
        height, width = cover.shape
        if random.random() < 0.7:
            top = low[1] + extent[1] * random.uniform(0.4, 0.9)
            tilt = random.normal(scale=8)
            corners = np.array([(0, top - tilt), (width, top + tilt), (width, height), (0, height)])
        else:
            side = low[0] + extent[0] * random.uniform(0.05, 0.45)
            tilt = random.normal(scale=5)
            corners = np.array([(0, 0), (side - tilt, 0), (side + tilt, height), (0, height)])
            if random.random() < 0.5:
                corners[:, 0] = low[0] + box[2] - corners[:, 0]
                corners[[0, 3], 0] = width
        _polygon(cover, corners)
    else:  # something jagged, as leaves are
        angles = np.sort(random.uniform(0, 2 * np.pi, 14))
        reach = extent.max() * random.uniform(0.08, 0.4) * random.uniform(0.4, 1.0, 14)
        _polygon(cover, middle + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=-1))


def _polygon(cover: np.ndarray, corners: np.ndarray) -> None:
    """Fill a polygon (K, 2), with soft edges; OpenCV takes sixteenths of pixels."""
    cv2.fillPoly(cover, [np.round(16 * corners).astype(np.int32)], 255, cv2.LINE_AA, 4)
