# SPDX-License-Identifier: Apache-2.0
"""Crops of people as the networks want them: 256 x 192 pixels, normalised.

What the public code does to a whole image (blur it, take a square out of it by linear interpolation with
black outside, keep the middle columns; sources in :mod:`fasthmr.encoder.crop_geometry`) is done here to the
part of the image that the crop shows, with the same result.

On the CPU this is OpenCV's ``warpAffine``, as in the public code; bytes stay bytes. OpenCV 5 interpolates
exactly beyond that rounding. OpenCV 4 goes in steps of 1/32 pixel: off by up to 2 of 255 grey levels within
the tests' footage, and by 1/64 of the contrast along an axis at most, which the image's border may show. On a
GPU blur and interpolation are one matrix for the rows and one for the columns, since the squares are upright:
exact, and not rounded to bytes, so up to half a grey level from the CPU's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

from fasthmr.encoder.crop_geometry import (
    CROP_SIDE,
    FIRST_COLUMN,
    SEEN_COLUMNS,
    CropRule,
    CropSquare,
    image_from_crop,
)

# Mean and deviation of ImageNet's channels R, G, B, in bytes.
_MEAN: Final = 255 * np.array([0.485, 0.456, 0.406])
_DEVIATION: Final = 255 * np.array([0.229, 0.224, 0.225])
_SCALE: Final = (1 / _DEVIATION).astype(np.float32)[:, None, None]
_SHIFT: Final = (-_MEAN / _DEVIATION).astype(np.float32)[:, None, None]
# Where the Gaussian ends, in deviations: skimage's and scipy's.
_TRUNCATE: Final = 4.0

_COLUMNS: Final = np.arange(FIRST_COLUMN, FIRST_COLUMN + SEEN_COLUMNS)
_ROWS: Final = np.arange(CROP_SIDE)


def crop_people(
    images: Sequence[np.ndarray],
    squares: Sequence[CropSquare],
    rule: CropRule,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Cut people out of images.

    Args:
        images: B times (H, W, 3) uint8 RGB; one image may stand there several times, it travels to the
            device once.
        squares: B squares to cut out; they may reach over the image's border or lie outside of it.
        rule: of the network; it says whether a large square is blurred.
        device: where the crops are made and stay.

    Returns:
        (B, 3, 256, 192) float32: RGB, ImageNet's mean and deviation taken out; what lies outside of the image
        is black before that.

    Raises:
        ValueError: unequal counts.
    """
    if len(images) != len(squares):
        raise ValueError(f"{len(images)} images and {len(squares)} squares")
    device = torch.device(device)
    if device.type == "cpu":
        # Not with PyTorch: its threads and those of a network that runs meanwhile would wait for each other.
        crops = np.empty((len(images), 3, CROP_SIDE, SEEN_COLUMNS), np.float32)
        for crop, image, square in zip(crops, images, squares, strict=True):
            np.multiply(cut(image, square, rule.blur(square.size)).transpose(2, 0, 1), _SCALE, out=crop)
            crop += _SHIFT
        return torch.from_numpy(crops)
    on_device = torch.empty((len(images), 3, CROP_SIDE, SEEN_COLUMNS), device=device)
    there: dict[int, Tensor] = {}
    for crop, image, square in zip(on_device, images, squares, strict=True):
        if id(image) not in there:
            there[id(image)] = torch.from_numpy(image).to(device)
        crop.copy_(cut_by_matrices(there[id(image)], square, rule.blur(square.size)))
    scale, shift = (torch.from_numpy(values).to(device) for values in (_SCALE, _SHIFT))
    return on_device.mul_(scale).add_(shift)


def cut_bytes(image: np.ndarray, square: CropSquare, rule: CropRule) -> np.ndarray:
    """One crop as bytes: what our own network is trained on, and calibration sets hold.

    Args:
        image: (H, W, 3) uint8.
        square: what to cut out.
        rule: of the network; it says whether a large square is blurred.

    Returns:
        (256, 192, 3) uint8.
    """
    crop = cut(image, square, rule.blur(square.size))
    return crop if crop.dtype == np.uint8 else crop.round().clip(0, 255).astype(np.uint8)


def cut(image: np.ndarray, square: CropSquare, blur: float) -> np.ndarray:
    """One crop with OpenCV, not yet normalised.

    Args:
        image: (H, W, 3) uint8.
        square: what to cut out.
        blur: deviation of the Gaussian that goes over the image first, pixels; 0 for none.

    Returns:
        (256, 192, 3): uint8, or float32 after a blur, as the public code has it.
    """
    down, across = image_from_crop(square, _ROWS, 1), image_from_crop(square, _COLUMNS, 0)
    margin = _reach(blur)
    top, bottom = _needed(down, image.shape[0], margin)
    left, right = _needed(across, image.shape[1], margin)
    if top >= bottom or left >= right:
        return np.zeros((CROP_SIDE, SEEN_COLUMNS, 3), np.uint8)
    part = image[top:bottom, left:right]
    if blur > 0:
        # Where the part ends inside of the image, its outermost rows and columns are made from repeated
        # ones, and wrong; they are the margin, which no crop shows.
        kernel = _gaussian(blur)
        part = cv2.sepFilter2D(part, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    step = square.size / CROP_SIDE
    image_of_crop = np.array([[step, 0, across[0] - left], [0, step, down[0] - top]])
    return cv2.warpAffine(
        part,
        image_of_crop,
        (SEEN_COLUMNS, CROP_SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )


def cut_by_matrices(image: Tensor, square: CropSquare, blur: float) -> Tensor:
    """One crop as two matrix products, not yet normalised; the same on every device.

    Args:
        image: (H, W, 3) uint8 on the device.
        square: what to cut out.
        blur: as for :func:`cut`.

    Returns:
        (3, 256, 192) float32.
    """
    down, rows = _resampling(image_from_crop(square, _ROWS, 1), image.shape[0], blur, image.device)
    across, columns = _resampling(image_from_crop(square, _COLUMNS, 0), image.shape[1], blur, image.device)
    if not len(rows) or not len(columns):
        return torch.zeros((3, CROP_SIDE, SEEN_COLUMNS), device=image.device)
    part = image[rows][:, columns].float()
    by_rows = (down @ part.flatten(1)).reshape(CROP_SIDE, *part.shape[1:])
    return by_rows.permute(2, 0, 1) @ across.T


def _reach(blur: float) -> int:
    """Pixels to each side that the Gaussian takes in."""
    return int(_TRUNCATE * blur + 0.5)


def _gaussian(blur: float) -> np.ndarray:
    """Weights of the Gaussian, (2 * reach + 1,) float64 with the sum 1."""
    distance = np.arange(-_reach(blur), _reach(blur) + 1)
    weights = np.exp(-0.5 * (distance / blur) ** 2)
    return weights / weights.sum()


def _needed(places: np.ndarray, length: int, margin: int) -> tuple[int, int]:
    """First and last (exclusive) pixel along an axis that interpolation at ordered places takes in."""
    first, last = math.floor(places[0]) - margin, math.floor(places[-1]) + 1 + margin
    return max(0, first), min(length, last + 1)


def _resampling(places: np.ndarray, length: int, blur: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Blur and linear interpolation along one axis as a matrix.

    Args:
        places: (n,) where to take values, increasing pixels of the image.
        length: of the axis, pixels; beyond it the blurred image is black (and the image before the blur goes
            on as at its border).
        blur: as for :func:`cut`.
        device: where the result lies.

    Returns:
        (n, m) float32 weights and (m,) int64, the pixels that they belong to.
    """
    first, last = _needed(places, length, 0)
    if first >= last:
        return torch.empty((len(places), 0), device=device), torch.empty(0, dtype=torch.long, device=device)
    before = np.floor(places)
    # The share of the later pixel is found in float64: float32 cannot tell 1/1000 of a pixel at 8000.
    share = torch.from_numpy((places - before).astype(np.float32)).to(device)[:, None]
    start = torch.from_numpy(before.astype(np.int64) - first).to(device)[:, None]
    pixel = torch.arange(last - first, device=device)
    weights = (pixel == start) * (1 - share) + (pixel == start + 1) * share
    reach = _reach(blur)
    if reach:
        gaussian = torch.from_numpy(_gaussian(blur)).float().to(device)
        weights = torch.conv1d(weights[:, None], gaussian[None, None], padding=2 * reach)[:, 0]
    pixels = torch.arange(first - reach, last + reach, device=device)
    return weights, pixels.clamp(0, length - 1)
