# SPDX-License-Identifier: Apache-2.0
"""A person's mask in a few hundred bytes: cropped to the person, one bit a cell, deflated.

A mask is kept for every frame of every person, so that its size decides how long a clip fits in
memory. The detector's masks have at most 256 cells a side, whatever the footage's size; they are
kept as they are and only enlarged when somebody asks for the full-size picture.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

MAX_SIDE = 1 << 16  # no picture is larger; a damaged file cannot make us allocate more


@dataclass(frozen=True, slots=True)
class PackedMask:
    """A binary mask over a rectangle of an image; everything outside of the rectangle is background.

    Args:
        image_size: width and height of the image, pixels.
        box: the rectangle (x0, y0, x1, y1) in whole pixels, inside the image, x1 and y1 exclusive.
        grid: rows and columns of the mask's cells, spread evenly over the rectangle.
        data: ``zlib`` over ``numpy.packbits`` of the cells, row by row.
    """

    image_size: tuple[int, int]
    box: tuple[int, int, int, int]
    grid: tuple[int, int]
    data: bytes

    @classmethod
    def pack(
        cls,
        cells: np.ndarray,
        box: tuple[int, int, int, int] | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> PackedMask | None:
        """Pack a mask, cropped to the cells that are set.

        Args:
            cells: (rows, columns), non-zero where the person is.
            box: the pixels that the cells are spread over (x0, y0, x1, y1); the whole image when left out.
            image_size: width and height in pixels; the cells' own size when left out.

        Returns:
            The packed mask, or None when no cell is set.
        """
        cells = np.asarray(cells) != 0
        rows, columns = cells.shape
        width, height = image_size or (columns, rows)
        x0, y0, x1, y1 = box or (0, 0, width, height)
        occupied_rows, occupied_columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
        if not occupied_rows.size:
            return None
        # The crop must fall on whole pixels, or unpacking would shift the mask by a part of a cell.
        top, bottom = _whole_pixels(occupied_rows[0], occupied_rows[-1] + 1, rows, y1 - y0)
        left, right = _whole_pixels(occupied_columns[0], occupied_columns[-1] + 1, columns, x1 - x0)
        crop = cells[top:bottom, left:right]
        crop_box = (
            x0 + left * (x1 - x0) // columns,
            y0 + top * (y1 - y0) // rows,
            x0 + right * (x1 - x0) // columns,
            y0 + bottom * (y1 - y0) // rows,
        )
        data = zlib.compress(np.packbits(crop).tobytes(), level=6)
        return cls((int(width), int(height)), crop_box, (bottom - top, right - left), data)

    def cells(self) -> np.ndarray:
        """The cells inside the rectangle, (rows, columns) bool.

        Raises:
            ValueError: the data is damaged.
        """
        rows, columns = self.grid
        count = (rows * columns + 7) // 8
        decoder = zlib.decompressobj()
        try:
            raw = decoder.decompress(self.data, count + 1)
        except zlib.error as error:
            raise ValueError(f"damaged mask: {error}") from error
        if len(raw) != count:
            raise ValueError(f"damaged mask: {len(raw)} bytes where {count} were expected")
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), count=rows * columns)
        return bits.reshape(rows, columns).astype(bool)

    def unpack(self) -> np.ndarray:
        """The mask at the size of the image, (height, width) bool.

        Raises:
            ValueError: the data is damaged.
        """
        width, height = self.image_size
        x0, y0, x1, y1 = self.box
        full = np.zeros((height, width), bool)
        cells = self.cells()
        if cells.shape == (y1 - y0, x1 - x0):
            full[y0:y1, x0:x1] = cells
        else:
            # Linear interpolation and one half as the threshold: smooth outlines instead of stairs.
            soft = cv2.resize(cells.astype(np.float32), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
            full[y0:y1, x0:x1] = soft >= 0.5
        return full

    def check(self) -> None:
        """Check that the numbers fit each other, without unpacking.

        Raises:
            ValueError: they do not.
        """
        width, height = self.image_size
        x0, y0, x1, y1 = self.box
        rows, columns = self.grid
        if not (0 <= x0 < x1 <= width <= MAX_SIDE and 0 <= y0 < y1 <= height <= MAX_SIDE):
            raise ValueError(f"mask outside of its image: box {self.box}, image {self.image_size}")
        if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
            raise ValueError(f"mask without cells: grid {self.grid}")


def _whole_pixels(start: int, stop: int, cells: int, pixels: int) -> tuple[int, int]:
    """Widen a span of cells until both its ends fall on whole pixels."""
    if pixels % cells == 0:
        return int(start), int(stop)
    step = cells // int(np.gcd(cells, pixels))
    return int(start // step * step), int(min(cells, -(-stop // step) * step))
