# SPDX-License-Identifier: Apache-2.0
"""Packed masks against the arrays they were made of."""

from __future__ import annotations

import numpy as np
import pytest
from fasthmr.people.masks import PackedMask
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

CELLS = arrays(bool, st.tuples(st.integers(1, 40), st.integers(1, 40)))


@given(CELLS)
def test_round_trip_at_full_size(cells: np.ndarray) -> None:
    packed = PackedMask.pack(cells)
    if packed is None:
        assert not cells.any()
        return
    packed.check()
    np.testing.assert_array_equal(packed.unpack(), cells)


@given(CELLS, st.integers(0, 9), st.integers(0, 9), st.integers(1, 60), st.integers(1, 60))
def test_cells_land_where_they_were(cells: np.ndarray, x0: int, y0: int, width: int, height: int) -> None:
    """Whatever the ratio of cells to pixels, cropping shifts nothing: each cell keeps its pixels."""
    size = (x0 + width + 5, y0 + height + 3)
    packed = PackedMask.pack(cells, (x0, y0, x0 + width, y0 + height), size)
    if packed is None:
        assert not cells.any()
        return
    packed.check()
    kept = packed.cells()
    assert kept.sum() == cells.sum()
    rows, columns = cells.shape
    for (row, column), (full_row, full_column) in zip(
        np.argwhere(kept).tolist(), np.argwhere(cells).tolist(), strict=True
    ):
        bx0, by0, bx1, by1 = packed.box
        x = bx0 + (column + 0.5) * (bx1 - bx0) / packed.grid[1]
        y = by0 + (row + 0.5) * (by1 - by0) / packed.grid[0]
        assert x == pytest.approx(x0 + (full_column + 0.5) * width / columns)
        assert y == pytest.approx(y0 + (full_row + 0.5) * height / rows)


def test_coarse_mask_is_enlarged_smoothly() -> None:
    rows, columns = np.mgrid[:64, :64]
    disc = (rows - 31.5) ** 2 + (columns - 31.5) ** 2 < 20**2
    packed = PackedMask.pack(disc, (100, 50, 612, 562), (800, 600))
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
    packed = PackedMask((8, 8), (0, 0, 8, 8), (8, 8), data)
    with pytest.raises(ValueError, match="damaged mask"):
        packed.unpack()


@pytest.mark.parametrize(
    ("box", "grid"),
    [((0, 0, 9, 8), (8, 8)), ((4, 0, 4, 8), (8, 8)), ((-1, 0, 8, 8), (8, 8)), ((0, 0, 8, 8), (0, 8))],
)
def test_numbers_that_do_not_fit_are_refused(box: tuple[int, int, int, int], grid: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="mask"):
        PackedMask((8, 8), box, grid, b"").check()
