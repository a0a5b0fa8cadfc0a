# SPDX-License-Identifier: Apache-2.0
"""The crop's camera and the picture's show the same body at the same pixels."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.encoder.crop_camera import (
    HMR2_FOCAL,
    box_information,
    translation_in_crop,
    translation_in_image,
)
from fasthmr.encoder.crop_geometry import CropSquare, image_from_crop

CAMERA = np.array([[0.9, 0.05, -0.1]])
# Off the middle, in a picture whose principal point is not its middle either.
SQUARE = CropSquare(1310.0, 420.0, 610.0)
INTRINSICS = np.array([[1900.0, 0, 1001.0], [0, 1900.0, 512.0], [0, 0, 1]])


def body(depth: float, seed: int = 0) -> np.ndarray:
    """Points of something as large as a person, within so many metres of its origin's plane."""
    return np.random.default_rng(seed).uniform(-1, 1, (50, 3)) * (0.5, 0.9, depth)


def seen_in_crop(points: np.ndarray, square: CropSquare, focal: float) -> np.ndarray:
    """HMR2.0's projection into the crop, taken to the picture by the crop's affine map."""
    at = points + translation_in_crop(CAMERA, focal)
    crop = 128 + focal * at[:, :2] / at[:, 2:]
    return np.stack([image_from_crop(square, crop[:, axis], axis) for axis in (0, 1)], axis=1)


def seen_in_image(points: np.ndarray, square: CropSquare, intrinsics: np.ndarray) -> np.ndarray:
    at = points + translation_in_image(CAMERA, [square], intrinsics)
    pixels = at @ intrinsics.T
    return pixels[:, :2] / pixels[:, 2:]


def test_body_in_one_plane_is_seen_at_the_same_pixels() -> None:
    points = body(depth=0.0)
    seen = seen_in_image(points, SQUARE, INTRINSICS)
    np.testing.assert_allclose(seen, seen_in_crop(points, SQUARE, HMR2_FOCAL), rtol=0, atol=1e-9)
    # That is the weak perspective of the docstring, in half sides from the middle.
    expected = (SQUARE.x, SQUARE.y) + SQUARE.size / 2 * 0.9 * (points[:, :2] + (0.05, -0.1))
    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-9)


def test_whole_body_is_seen_at_the_same_pixels_where_the_cameras_are_one() -> None:
    """A crop about the principal point, through the lens that HMR2.0 supposes."""
    square = CropSquare(INTRINSICS[0, 2], INTRINSICS[1, 2], 610.0)
    intrinsics = INTRINSICS * [[5000 / 256 * 610 / 1900, 1, 1], [1, 5000 / 256 * 610 / 1900, 1], [1, 1, 1]]
    points = body(depth=0.8)
    np.testing.assert_allclose(
        seen_in_image(points, square, intrinsics), seen_in_crop(points, square, HMR2_FOCAL), rtol=0, atol=1e-8
    )
    np.testing.assert_allclose(
        translation_in_image(CAMERA, [square], intrinsics), translation_in_crop(CAMERA), rtol=1e-12
    )


def test_cameras_agree_the_better_the_longer_the_lens() -> None:
    points = body(depth=0.5)
    errors = []
    for focal in (1000.0, 10_000.0, 100_000.0, 1e8):
        intrinsics = np.array([[focal, 0, 1001.0], [0, focal, 512.0], [0, 0, 1]])
        gap = seen_in_image(points, SQUARE, intrinsics) - seen_in_crop(points, SQUARE, focal=focal)
        errors.append(float(np.abs(gap).max()))
    assert errors == sorted(errors, reverse=True)
    assert errors[0] > 10
    assert errors[-1] < 1e-2


def test_translation_is_the_published_formula() -> None:
    """`cam_crop_to_full` in plain numbers, for a principal point in the middle of 1920 x 1080."""
    intrinsics = np.array([[2203.0, 0, 960.0], [0, 2203.0, 540.0], [0, 0, 1]])
    scale, across, down = CAMERA[0]
    expected = [
        across + 2 * (1310 - 1920 / 2) / (610 * scale),
        down + 2 * (420 - 1080 / 2) / (610 * scale),
        2 * 2203 / (610 * scale),
    ]
    np.testing.assert_allclose(translation_in_image(CAMERA, [SQUARE], intrinsics)[0], expected, rtol=1e-12)


def test_many_frames_are_single_frames_one_after_the_other() -> None:
    rng = np.random.default_rng(5)
    cameras, squares = rng.uniform(0.3, 1.2, (6, 3)), rng.uniform(100, 900, (6, 3))
    together = translation_in_image(cameras, squares, INTRINSICS)
    for one, camera, square in zip(together, cameras, squares, strict=True):
        alone = translation_in_image(camera[None], [CropSquare(*square)], INTRINSICS)
        np.testing.assert_array_equal(one, alone[0])


def test_box_information_in_focal_lengths() -> None:
    (values,) = box_information([SQUARE], INTRINSICS)
    assert values.dtype == np.float32
    assert values == pytest.approx([(1310 - 1001) / 1900, (420 - 512) / 1900, 610 / 1900])
    assert box_information(np.empty((0, 3)), INTRINSICS).shape == (0, 3)
