# SPDX-License-Identifier: Apache-2.0
"""Which patches show the person: what token merging must leave alone.

A patch is the person's when the person's own mask covers enough of it. The masks of other people protect
nothing: in a crowd they are background like any other (the paper protects everybody in the crop, runs out of
background and merges the person instead; it names that as a limitation). Where two people's masks overlap,
the patch stays: it is better to keep somebody else's arm than to lose one's own.

The share is exact, by area, and comes from the cells of the mask alone: a mask is constant within a cell, and
patches and cells are upright rectangles, so that the areas are the product of two small matrices with the
cells. No mask is unpacked to the size of the image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from fasthmr.encoder.crop_geometry import FIRST_COLUMN, CropSquare, image_from_crop
from fasthmr.encoder.token_merging import BACKGROUND, PERSON

if TYPE_CHECKING:
    from fasthmr.people import PackedMask

#: Least share of a patch that the mask must cover, and by how many patches the person is enlarged: chosen on
#: measurements (docs/token_merging.md).
SHARE: Final = 0.1
DILATION: Final = 0
#: For so many frames a lost mask is borrowed from a neighbour.
REACH: Final = 3

_ROWS, _COLUMNS, _PATCH = 16, 12, 16
_PADDING = 2  # of the network's input, pixels: patch i covers the rows 16 i - 2 .. 16 i + 13
_ELLIPSE_COLUMNS = 3.0


def patch_levels(
    masks: Sequence[PackedMask | None],
    squares: Sequence[CropSquare],
    share: float = SHARE,
    dilation: int = DILATION,
) -> np.ndarray:
    """What token merging may do with each patch of each crop.

    Args:
        masks: B masks, each of the person that the crop is of. None (a frame in which the person was lost, or
            a detector without masks): an upright ellipse in the middle of the crop stands in, see
            :func:`ellipse` (:func:`track_levels` knows better for short gaps).
        squares: B squares that the crops were cut from.
        share: a patch is the person's from this share of its area on, above 0 and up to 1.
        dilation: by how many patches the person is enlarged then, also diagonally.

    Returns:
        (B, 192) uint8, row by row: ``PERSON`` or ``BACKGROUND``. What is outside of the image is background.

    Raises:
        ValueError: a share or dilation that makes no sense, unequal counts, or a damaged mask.
    """
    if not 0 < share <= 1 or dilation < 0:
        raise ValueError(f"share {share} of a patch, enlarged by {dilation}: 0 < share <= 1, 0 <= dilation")
    levels = np.empty((len(masks), _ROWS, _COLUMNS), np.uint8)
    for level, mask, square in zip(levels, masks, squares, strict=True):
        # Rounding in the sums must not lose a patch that is covered exactly so far.
        covered = ellipse() if mask is None else patch_shares(mask, square) >= share - 1e-6
        level[:] = np.where(covered, PERSON, BACKGROUND)
    return enlarged(levels, dilation).reshape(len(masks), _ROWS * _COLUMNS)


def track_levels(
    masks: Sequence[PackedMask | None],
    squares: Sequence[CropSquare],
    share: float = SHARE,
    dilation: int = DILATION,
    reach: int = REACH,
) -> np.ndarray:
    """The same for one person's consecutive frames: a lost mask is borrowed from a frame nearby.

    The neighbour's mask is seen in the neighbour's crop, so that it moves with the person. Farther from any
    mask than ``reach``, the ellipse stands in.

    Args:
        masks: T masks, one a frame, None where there is none.
        squares: T squares.
        share: see :func:`patch_levels`.
        dilation: see :func:`patch_levels`.
        reach: frames; of two masks at the same distance, the earlier is taken. 0: nothing is borrowed.

    Returns:
        (T, 192) uint8.

    Raises:
        ValueError: see :func:`patch_levels`.
    """
    levels = patch_levels(masks, squares, share, dilation)
    known = np.array([index for index, mask in enumerate(masks) if mask is not None])
    for index, mask in enumerate(masks):
        if mask is None and known.size:
            nearest = known[np.argmin(np.abs(known - index))]
            if abs(nearest - index) <= reach:
                levels[index] = levels[nearest]
    return levels


def patch_shares(mask: PackedMask, square: CropSquare) -> np.ndarray:
    """How much of each patch a mask covers, by area.

    Args:
        mask: over the image.
        square: what the crop was cut from.

    Returns:
        (16, 12) float32, 0..1; the share of the whole patch, also where a part of it is outside of the image.

    Raises:
        ValueError: the mask is damaged.
    """
    # Indices count from the middle of the first pixel, the cells of a mask from its corner.
    columns, rows = (
        image_from_crop(square, first - _PADDING + _PATCH * np.arange(count + 1) - 0.5, axis) + 0.5
        for axis, first, count in ((0, FIRST_COLUMN, _COLUMNS), (1, 0, _ROWS))
    )
    down = _overlaps(rows.clip(0, mask.image_size[1]), mask.origin[1], mask.cell, mask.grid[0])
    across = _overlaps(columns.clip(0, mask.image_size[0]), mask.origin[0], mask.cell, mask.grid[1])
    area = (columns[1] - columns[0]) * (rows[1] - rows[0])
    return (down @ mask.cells().astype(np.float32) @ across.T) / np.float32(area)


def ellipse() -> np.ndarray:
    """Where a person is likely to be in a crop when nobody knows: (16, 12) bool.

    An upright ellipse, as high as the crop and half as wide as what the network sees: about as many patches
    as a person fills.
    """
    row, column = np.mgrid[:_ROWS, :_COLUMNS]
    down = (row - (_ROWS - 1) / 2) / (_ROWS / 2)
    across = (column - (_COLUMNS - 1) / 2) / _ELLIPSE_COLUMNS
    return down**2 + across**2 <= 1


def _overlaps(edges: np.ndarray, origin: int, cell: int, count: int) -> np.ndarray:
    """How long each interval between edges overlaps each cell of one axis, pixels: (edges - 1, cells)."""
    starts = origin + cell * np.arange(count)
    return np.diff((edges[:, None] - starts).clip(0, cell), axis=0).astype(np.float32)


def enlarged(levels: np.ndarray, patches: int) -> np.ndarray:
    """The largest level within so many patches, also diagonally: (B, rows, columns) to the same."""
    for axis in (1, 2):
        count = levels.shape[axis]
        far = min(patches, count - 1)
        padded = np.pad(levels, [(far, far) if one == axis else (0, 0) for one in range(3)])
        shifted = [padded.take(range(start, start + count), axis) for start in range(2 * far + 1)]
        levels = np.max(shifted, axis=0)
    return levels
