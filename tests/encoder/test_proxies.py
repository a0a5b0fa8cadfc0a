# SPDX-License-Identifier: Apache-2.0
"""Edges and masks of crops."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.encoder.crop_geometry import CropSquare, image_from_crop
from fasthmr.encoder.proxies import edges, mask_in_crop, proxies
from fasthmr.people import PackedMask


def crop_of_noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (256, 192, 3), dtype=np.uint8)


def test_edges_lie_where_brightness_changes() -> None:
    crop = np.full((256, 192, 3), 60, np.uint8)
    crop[:, 96:] = 160
    found = edges(crop)
    assert found.shape == (256, 192)
    assert found[100, 95:97].min() > 0.8
    assert found[100, :80].max() == 0
    assert found[100, 112:].max() == 0


def test_edges_do_not_mind_contrast_and_colour() -> None:
    faint, strong = np.full((256, 192, 3), 100, np.uint8), np.full((256, 192, 3), 0, np.uint8)
    faint[80:160, 60:120] = (180, 100, 100)
    strong[80:160, 60:120] = (0, 200, 255)
    assert abs(edges(faint)[80, 90] - edges(strong)[80, 90]) < 0.15
    assert np.allclose(edges(strong), edges(strong.astype(np.float32)), atol=1e-3)


def test_edges_of_anything_are_between_zero_and_one() -> None:
    found = edges(crop_of_noise())
    assert found.min() >= 0
    assert found.max() < 1
    assert not edges(np.zeros((256, 192, 3), np.uint8)).any()


def test_a_mask_says_person_background_or_unknown() -> None:
    mask = np.zeros((256, 192), np.float32)
    mask[:10] = 1
    found = proxies(crop_of_noise(), mask)
    assert found.shape == (2, 256, 192)
    assert found.dtype == np.float32
    assert np.array_equal(np.unique(found[1]), [-1, 1])
    assert not proxies(crop_of_noise(), None)[1].any()


def test_colours_follow_on_request() -> None:
    crop = crop_of_noise()
    found = proxies(crop, None, channels=5)
    np.testing.assert_allclose(found[:2], proxies(crop, None), atol=1e-4)
    expected = (crop[3, 7] / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(found[2:, 3, 7], expected, atol=1e-5)
    with pytest.raises(ValueError, match="3 channels"):
        proxies(crop, None, channels=3)


def interpolated(mask: PackedMask, x: float, y: float) -> float:
    """The cells of a mask at a place of the image (indices of pixels), one after the other."""
    cells = mask.cells()
    column, row = (x + 0.5 - mask.origin[0]) / mask.cell - 0.5, (y + 0.5 - mask.origin[1]) / mask.cell - 0.5
    total = 0.0
    for i, cells_of_row in enumerate(cells):
        for j, cell in enumerate(cells_of_row):
            total += cell * max(0.0, 1 - abs(row - i)) * max(0.0, 1 - abs(column - j))
    return total


@pytest.mark.parametrize("cell", [1, 5])
@pytest.mark.parametrize("square", [CropSquare(40.0, 33.0, 50.0), CropSquare(20.3, 60.9, 190.0)])
def test_a_mask_is_interpolated_where_the_crop_looks(cell: int, square: CropSquare) -> None:
    cells = np.random.default_rng(3).random((12, 9)) < 0.5
    mask = PackedMask.pack(cells, image_size=(100, 90), origin=(20, 10), cell=cell)
    assert mask is not None
    found = mask_in_crop(mask, square)
    assert found is not None
    assert found.shape == (256, 192)
    rng = np.random.default_rng(4)
    for row, column in zip(rng.integers(256, size=40), rng.integers(192, size=40), strict=True):
        x, y = image_from_crop(square, 32 + int(column), 0), image_from_crop(square, int(row), 1)
        # OpenCV goes in steps of a 32nd of a cell.
        assert found[row, column] == pytest.approx(interpolated(mask, x, y), abs=0.07)


def test_no_mask_stays_none() -> None:
    assert mask_in_crop(None, CropSquare(0, 0, 10)) is None
