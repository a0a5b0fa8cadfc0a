# SPDX-License-Identifier: Apache-2.0
"""Packed masks against the arrays they were made of."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fasthmr.people.masks import PackedMask

CELLS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(CELLS)
def test_round_trip_at_full_size(cells: np.ndarray) -> None:
    packed = PackedMask.pack(cells)
    if packed is None:
        assert not cells.any()
        return
    packed.check()
    np.testing.assert_array_equal(packed.unpack(), cells)


@given(CELLS, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 5))
def test_cells_land_where_they_were(cells: np.ndarray, x: int, y: int, cell: int) -> None:
    """Cropping shifts nothing, and what reaches out of the image is left away."""
    packed = PackedMask.pack(cells, (60, 50), (x, y), cell)
    if packed is None:
        assert not cells.any()
        return
    packed.check()
    naive = np.zeros((300, 300), bool)
    for row, column in np.argwhere(cells).tolist():
        top, left = 50 + y + row * cell, 50 + x + column * cell
        naive[top : top + cell, left : left + cell] = True
    naive = naive[50:100, 50:110]
    x0, y0, x1, y1 = packed.box
    assert packed.cells().sum() == cells.sum()
    rows, columns = np.nonzero(naive)
    assert ((columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)).all()
    if cell == 1:
        np.testing.assert_array_equal(packed.unpack(), naive)
    else:  # enlarging rounds the corners of single cells; the middle of a block stays what it was
        blocks = cv2.blur(naive.astype(np.float32), (2 * cell + 1, 2 * cell + 1))
        inside = packed.unpack()
        assert inside[blocks > 0.999].all()
        assert not inside[blocks < 0.001].any()


def test_coarse_mask_is_enlarged_smoothly() -> None:
    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 31.5) ** 2 + (columns - 31.5) ** 2 < 20**2
    packed = PackedMask.pack(disc, (800, 600), (100, 50), 8)
    assert packed is not None
    y, x = np.mgrid[:600, :800]
    truth = (x + 0.5 - 356) ** 2 + (y + 0.5 - 306) ** 2 < 160**2
    full = packed.unpack()
    overlap = (full & truth).sum() / (full | truth).sum()
    assert overlap > 0.97


def test_a_persons_mask_takes_few_bytes() -> None:
    rows, columns = np.mgrid[:1080, :1920]
    person = ((rows - 540) / 400) ** 2 + ((columns - 960) / 120) ** 2 < 1
    packed = PackedMask.pack(person)
    assert packed is not None
    assert len(packed.data) < 4000
    np.testing.assert_array_equal(packed.unpack(), person)


@pytest.mark.parametrize("data", [b"", b"not deflated", b"x\x9c\x03\x00\x00\x00\x00\x01"])
def test_damaged_data_is_refused(data: bytes) -> None:
    packed = PackedMask((8, 8), (0, 0), 1, (8, 8), data)
    with pytest.raises(ValueError, match="damaged mask"):
        packed.unpack()


@pytest.mark.parametrize(
    ("origin", "cell", "grid"),
    [((0, 0), 0, (8, 8)), ((1 << 20, 0), 1, (8, 8)), ((0, 0), 1, (0, 8)), ((0, 0), 1000, (8, 80))],
)
def test_impossible_numbers_are_refused(origin: tuple[int, int], cell: int, grid: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="impossible mask"):
        PackedMask((8, 8), origin, cell, grid, b"").check()
