# SPDX-License-Identifier: Apache-2.0
"""Crops of real frames against the recipe in plain steps over the whole image, in float64."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fasthmr.encoder import crops
from fasthmr.encoder.crop_geometry import CAMERAHMR_CROP, HMR2_CROP, CropRule, CropSquare, square_of
from fasthmr.encoder.crops import crop_people
from fasthmr.footage import open_footage
from tests.real_clip import demo_clip

MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])

# OpenCV 5 interpolates exactly; OpenCV 4 rounds to steps of 1/32 pixel, which may be 1/64 of the contrast
# along each axis (up to 1.9 grey levels were seen within the clip, and more at the border to black).
STEPS = 0.0 if int(cv2.__version__.split(".")[0]) >= 5 else 2 * 255 / 64
BYTES = STEPS + 0.51  # a crop without a blur is rounded to bytes
FLOATS = STEPS + 0.01
MATRICES = 0.002  # float32 alone

# Boxes in a frame of 1768 x 994 pixels.
BOXES = {
    "reduced": (900.0, 200.0, 1130.4, 721.9),
    "enlarged": (420.3, 310.7, 471.1, 402.2),
    "wide": (300.0, 420.0, 860.0, 610.0),
    "over the upper left corner": (-120.5, -60.0, 190.0, 400.25),
    "over the lower right corner": (1500.0, 700.0, 1900.0, 1300.0),
    "a few pixels": (1000.2, 500.1, 1002.9, 504.0),
    "blurred": (300.5, 100.25, 700.5, 700.25),
    "blurred, over the border": (1200.0, 300.0, 2100.0, 1500.0),
    "larger than the image": (-800.0, -900.0, 2600.0, 2000.0),
    "much larger than the image": (-9_000.0, -9_000.0, 9_000.0, 9_000.0),
    "outside of the image": (3000.0, 3000.0, 3200.0, 3300.0),
}


@pytest.fixture(scope="module")
def frames() -> list[np.ndarray]:
    with open_footage(demo_clip(), 0.5) as footage:
        return [frame.image for frame in itertools.islice(footage, 0, 5, 2)]


def plain_crop(image: np.ndarray, square: CropSquare, rule: CropRule) -> np.ndarray:
    """The recipe, (256, 192, 3) float64: the whole image is blurred, each pixel interpolated from four."""
    picture = image.astype(np.float64)
    reduction = square.size / 256 / 2
    if rule is HMR2_CROP and reduction > 1.1:
        deviation = (reduction - 1) / 2
        picture = gaussian_filter(picture, (deviation, deviation, 0), mode="nearest", truncate=4.0)
    crop = np.zeros((256, 192, 3))
    for row, column in itertools.product(range(256), range(192)):
        # The square's centre is at index 128 of the crop, of which the network sees columns from 32 on.
        x = square.x + (column + 32 - 128) * square.size / 256
        y = square.y + (row - 128) * square.size / 256
        left, top = int(np.floor(x)), int(np.floor(y))
        for j, i in itertools.product((top, top + 1), (left, left + 1)):
            if 0 <= j < image.shape[0] and 0 <= i < image.shape[1]:
                crop[row, column] += (1 - abs(x - i)) * (1 - abs(y - j)) * picture[j, i]
    return crop


def grey(normalised: torch.Tensor) -> np.ndarray:
    """(3, 256, 192) normalised -> (256, 192, 3) grey levels 0..255."""
    return (normalised.permute(1, 2, 0).double().numpy() * DEVIATION + MEAN) * 255


@pytest.mark.parametrize("rule", [HMR2_CROP, CAMERAHMR_CROP], ids=["hmr2", "camerahmr"])
@pytest.mark.parametrize("name", BOXES)
def test_crop_is_that_of_the_recipe(name: str, rule: CropRule, frames: list[np.ndarray]) -> None:
    (square,) = square_of(np.array([BOXES[name]]), rule)
    expected = plain_crop(frames[0], square, rule)
    blur = rule.blur(square.size)
    assert (blur > 0) == (rule is HMR2_CROP and square.size > 1.1 * 512)

    (by_opencv,) = crop_people(frames[:1], [square], rule)
    by_matrices = crops.cut_by_matrices(torch.from_numpy(frames[0]), square, blur)
    np.testing.assert_allclose(grey(by_opencv), expected, rtol=0, atol=FLOATS if blur else BYTES)
    np.testing.assert_allclose(by_matrices.permute(1, 2, 0), expected, rtol=0, atol=MATRICES)
    if "outside" in name:
        assert not expected.any()
    else:
        assert expected.std() > 1  # there is something to see


def test_colours_stay_in_their_order() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[:] = (200, 100, 50)
    (crop,) = crop_people([image], [CropSquare(150, 150, 100)], HMR2_CROP)
    expected = (np.array([200, 100, 50]) / 255 - MEAN) / DEVIATION
    np.testing.assert_allclose(crop[:, 100, 100], expected, rtol=0, atol=1e-5)


def test_a_pixel_lands_where_the_geometry_says() -> None:
    image = np.zeros((400, 400, 3), np.uint8)
    image[210, 190] = 255
    (crop,) = crop_people([image], [CropSquare(200, 200, 128)], HMR2_CROP)  # twice enlarged
    row, column = np.unravel_index(int(crop[0].argmax()), (256, 192))
    assert (row, column + 32) == (128 + 2 * 10, 128 - 2 * 10)


def test_batch_of_several_frames_is_made_of_single_crops(frames: list[np.ndarray]) -> None:
    names = ["reduced", "blurred", "enlarged", "outside of the image", "reduced"]
    images = [frames[index] for index in (0, 1, 2, 1, 1)]
    squares = square_of(np.array([BOXES[name] for name in names]), HMR2_CROP)
    together = crop_people(images, squares, HMR2_CROP)
    assert together.shape == (5, 3, 256, 192)
    assert together.dtype == torch.float32
    assert together.is_contiguous()
    for crop, image, square in zip(together, images, squares, strict=True):
        assert torch.equal(crop, crop_people([image], [square], HMR2_CROP)[0])
    assert not torch.equal(together[0], together[4])


def test_no_people_are_no_crops() -> None:
    assert crop_people([], [], HMR2_CROP).shape == (0, 3, 256, 192)


def test_unequal_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="1 images and 0 squares"):
        crop_people([np.zeros((4, 4, 3), np.uint8)], [], HMR2_CROP)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU answers: cannot crop on one")
def test_crops_on_a_gpu_are_those_of_the_cpu(frames: list[np.ndarray]) -> None:
    squares = square_of(np.array(list(BOXES.values())), HMR2_CROP)
    images = [frames[index % 3] for index in range(len(squares))]
    on_gpu = crop_people(images, squares, HMR2_CROP, "cuda").cpu()
    on_cpu = crop_people(images, squares, HMR2_CROP)
    for one, other in zip(on_gpu, on_cpu, strict=True):
        np.testing.assert_allclose(grey(one), grey(other), rtol=0, atol=BYTES + 0.1)
