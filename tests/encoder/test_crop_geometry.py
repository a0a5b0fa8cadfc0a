# SPDX-License-Identifier: Apache-2.0
"""Squares around boxes and the way between crop and image, against the published recipes in plain steps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fasthmr.encoder.crop_geometry import (
    CAMERAHMR_CROP,
    HMR2_CROP,
    CropSquare,
    crop_from_image,
    image_from_crop,
    rule_for,
    square_of,
)

BOXES = st.tuples(st.floats(-500, 4000), st.floats(-500, 4000), st.floats(2, 3000), st.floats(2, 3000)).map(
    lambda box: np.array([box[0], box[1], box[0] + box[2], box[1] + box[3]])
)


def affine_by_three_points(square: CropSquare) -> np.ndarray:
    """Image to crop as both public programs find it: from three points and where they go."""
    half = square.size / 2
    image = np.array([[square.x, square.y], [square.x, square.y + half], [square.x + half, square.y]])
    crop = np.array([[128, 128], [128, 256], [256, 128]])
    return cv2.getAffineTransform(image.astype(np.float32), crop.astype(np.float32))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(BOXES)
def test_hmr2_square_is_the_height_of_the_smallest_three_by_four_box_around(box: np.ndarray) -> None:
    (square,) = square_of(box[None], HMR2_CROP)
    width, height = box[2] - box[0], box[3] - box[1]
    # The least side whose 3:4 box holds the person, found without the rule: by bisection.
    low, high = 0.0, 10_000.0
    for _ in range(80):
        middle = (low + high) / 2
        fits = middle >= height and middle * 192 / 256 >= width
        low, high = (low, middle) if fits else (middle, high)
    assert square.size == pytest.approx(high, rel=1e-9)
    assert (square.x, square.y) == pytest.approx(((box[0] + box[2]) / 2, (box[1] + box[3]) / 2))
    # The whole box lies in the columns that the network sees.
    assert crop_from_image(square, float(box[0]), 0) >= 32 - 1e-6
    assert crop_from_image(square, float(box[2]), 0) <= 224 + 1e-6


@settings(max_examples=60, deadline=None, derandomize=True)
@given(BOXES)
def test_camerahmr_square_is_the_larger_side(box: np.ndarray) -> None:
    (square,) = square_of(box[None], CAMERAHMR_CROP)
    assert square.size == pytest.approx(max(box[2] - box[0], box[3] - box[1]))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(BOXES, st.floats(-50, 300), st.floats(-50, 300))
def test_way_to_the_image_and_back_is_the_affine_of_three_points(box: np.ndarray, u: float, v: float) -> None:
    (square,) = square_of(box[None], HMR2_CROP)
    x, y = image_from_crop(square, u, 0), image_from_crop(square, v, 1)
    back = affine_by_three_points(square) @ (x, y, 1)
    # The public programs round the three points to float32.
    np.testing.assert_allclose(back, (u, v), rtol=0, atol=2e-3 * 256 / square.size + 1e-6)
    assert crop_from_image(square, x, 0) == pytest.approx(u, abs=1e-6)
    assert crop_from_image(square, y, 1) == pytest.approx(v, abs=1e-6)


def test_arrays_go_element_by_element() -> None:
    square = CropSquare(100.0, 50.0, 512.0)
    np.testing.assert_allclose(image_from_crop(square, np.array([0.0, 128.0, 129.0]), 1), [-206, 50, 52])
    np.testing.assert_allclose(crop_from_image(square, np.array([-156.0, 100.0]), 0), [0, 128])


def test_blur_begins_where_the_published_one_does() -> None:
    assert HMR2_CROP.blur(1.1 * 512) == 0.0
    assert HMR2_CROP.blur(1.1 * 512 + 1) == pytest.approx((1.1 - 1) / 2, abs=2e-3)
    assert HMR2_CROP.blur(2048.0) == 1.5
    assert CAMERAHMR_CROP.blur(2048.0) == 0.0


def test_box_without_extent_gives_a_square_of_a_pixel() -> None:
    assert square_of(np.array([[7.0, 8.0, 7.0, 8.0]]), HMR2_CROP) == [CropSquare(7.0, 8.0, 1.0)]
    assert square_of(np.empty((0, 4)), HMR2_CROP) == []


@pytest.mark.parametrize("box", [[0, 0, np.nan, 5], [5, 0, 4, 9], [0, 0, np.inf, 5]])
def test_impossible_box_is_refused(box: list[float]) -> None:
    with pytest.raises(ValueError, match="a box of a person"):
        square_of(np.array([[1, 1, 2, 2], box], float), HMR2_CROP)


def test_every_kind_of_network_has_a_rule() -> None:
    assert rule_for("hmr2") is HMR2_CROP
    assert rule_for("camerahmr") is CAMERAHMR_CROP
    assert rule_for("open") is HMR2_CROP
    with pytest.raises(ValueError, match="hmr2, camerahmr, open"):
        rule_for("hmr3")
