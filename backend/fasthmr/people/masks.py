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
        origin: x and y of the upper left corner of the first cell, pixels; may lie outside of the image.
        cell: side of a cell, whole pixels.
        grid: rows and columns of cells.
        data: ``zlib`` over ``numpy.packbits`` of the cells, row by row.
    """

    image_size: tuple[int, int]
    origin: tuple[int, int]
    cell: int
    grid: tuple[int, int]
    data: bytes

    @classmethod
    def pack(
        cls,
        cells: np.ndarray,
        image_size: tuple[int, int] | None = None,
        origin: tuple[int, int] = (0, 0),
        cell: int = 1,
    ) -> PackedMask | None:
        """Pack a mask, cropped to the cells that are set.

        Args:
            cells: (rows, columns), non-zero where the person is.
            image_size: width and height in pixels; the cells' own size when left out.
            origin: x and y in pixels of the corner of ``cells[0, 0]``.
            cell: side of a cell in pixels.

        Returns:
            The packed mask, or None when no cell is set.
        """
        cells = np.asarray(cells) != 0
        width, height = image_size or (cells.shape[1], cells.shape[0])
        rows, columns = np.flatnonzero(cells.any(1)), np.flatnonzero(cells.any(0))
        if not rows.size:
            return None
        top, left = int(rows[0]), int(columns[0])
        crop = cells[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
        return cls(
            image_size=(int(width), int(height)),
            origin=(int(origin[0]) + left * cell, int(origin[1]) + top * cell),
            cell=cell,
            grid=(crop.shape[0], crop.shape[1]),
            data=zlib.compress(np.packbits(crop).tobytes(), level=6),
        )

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The rectangle of the cells: x0, y0, x1, y1 in pixels, x1 and y1 exclusive."""
        x, y = self.origin
        rows, columns = self.grid
        return x, y, x + columns * self.cell, y + rows * self.cell

    def cells(self) -> np.ndarray:
        """The cells, (rows, columns) bool.

        Raises:
            ValueError: the data is damaged.
        """
        rows, columns = self.grid
        size = (rows * columns + 7) // 8
        try:
            raw = zlib.decompressobj().decompress(self.data, size + 1)
        except zlib.error as error:
            raise ValueError(f"damaged mask: {error}") from error
        if len(raw) != size:
            raise ValueError(f"damaged mask: {len(raw)} bytes where {size} were expected")
        bits = np.unpackbits(np.frombuffer(raw, np.uint8), count=rows * columns)
        return bits.reshape(rows, columns).astype(bool)

    def unpack(self) -> np.ndarray:
        """The mask at the size of the image, (height, width) bool.

        Raises:
            ValueError: the data is damaged.
        """
        width, height = self.image_size
        full = np.zeros((height, width), bool)
        cells = self.cells()
        if self.cell > 1:
            # Linear interpolation and one half as the threshold: smooth outlines instead of stairs.
            rows, columns = self.grid
            size = (columns * self.cell, rows * self.cell)
            cells = cv2.resize(cells.astype(np.float32), size, interpolation=cv2.INTER_LINEAR) >= 0.5
        x0, y0, x1, y1 = self.box
        left, top, right, bottom = max(0, x0), max(0, y0), min(width, x1), min(height, y1)
        if left < right and top < bottom:
            full[top:bottom, left:right] = cells[top - y0 : bottom - y0, left - x0 : right - x0]
        return full

    def check(self) -> None:
        """Check that the numbers are possible ones, without unpacking.

        Raises:
            ValueError: they are not.
        """
        sides = (*self.image_size, self.cell, *self.grid)
        spans = (self.grid[0] * self.cell, self.grid[1] * self.cell, *(abs(at) for at in self.origin))
        if not all(0 < side <= MAX_SIDE for side in sides) or max(spans) > MAX_SIDE:
            raise ValueError(f"impossible mask: {self.image_size}, {self.origin}, {self.cell}, {self.grid}")
