# SPDX-License-Identifier: Apache-2.0
"""What our own network sees of a crop in place of its colours: edges, and the detector's mask.

Networks that learn from rendered people alone do not carry over to footage when they see colours; they do
when they see what renders and footage have in common (STRAPS, Sengupta et al., BMVC 2020; HierProb3D, ICCV
2021). One function makes these channels, for training and for footage, from the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from fasthmr.encoder.config import COLOURS, PROXIES
from fasthmr.encoder.crop_geometry import CROP_SIDE, FIRST_COLUMN, SEEN_COLUMNS, CropSquare, image_from_crop

if TYPE_CHECKING:
    from fasthmr.people import PackedMask

# Of the Gaussian before the gradient, pixels of the crop.
_SMOOTH: Final = 1.0
# Side of the neighbourhood that contrast is measured in, and grey levels a pixel that are no edge anywhere.
_AROUND: Final = 65
_FLOOR: Final = 1.0
# Mean and deviation of edges on footage, roughly.
_USUAL: Final = 0.25
_SPREAD: Final = 0.25
# ImageNet's, of R, G and B in bytes.
_MEAN: Final = 255 * np.array([0.485, 0.456, 0.406], np.float32)
_DEVIATION: Final = 255 * np.array([0.229, 0.224, 0.225], np.float32)


def proxies(crop: np.ndarray, mask: np.ndarray | None, channels: int = PROXIES) -> np.ndarray:
    """The channels that the network reads.

    Args:
        crop: (H, W, 3) RGB, 0..255.
        mask: (H, W) float, 0..1, how much of a pixel is the person's; None: nobody knows.
        channels: 2 for edges and mask, 5 for the normalised colours after them.

    Returns:
        (channels, H, W) float32 of about unit size. The mask is -1 for the background, 1 for the person, 0
        where nobody knows.

    Raises:
        ValueError: another number of channels.
    """
    if channels not in (PROXIES, PROXIES + COLOURS):
        raise ValueError(f"{channels} channels: there are {PROXIES}, or {PROXIES + COLOURS} with colours")
    found = np.empty((channels, *crop.shape[:2]), np.float32)
    found[0] = (edges(crop) - _USUAL) / _SPREAD
    found[1] = 0 if mask is None else 2 * mask - 1
    if channels > PROXIES:
        found[PROXIES:] = ((crop - _MEAN) / _DEVIATION).transpose(2, 0, 1)
    return found


def edges(crop: np.ndarray) -> np.ndarray:
    """How strongly brightness changes, as a share of what it does around: (H, W, 3) to (H, W) in 0..1."""
    grey = cv2.cvtColor(crop.astype(np.float32), cv2.COLOR_RGB2GRAY)
    grey = cv2.GaussianBlur(grey, (0, 0), _SMOOTH)
    across = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    down = cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    size = cv2.magnitude(across, down)
    around = cv2.blur(size, (_AROUND, _AROUND))
    return size / (size + 2 * around + _FLOOR)


def mask_in_crop(mask: PackedMask | None, square: CropSquare) -> np.ndarray | None:
    """A person's mask as the crop shows it.

    Between the middles of its cells the mask is interpolated; outside of them is background.

    Args:
        mask: over the image; None: there is none.
        square: what the crop was cut from.

    Returns:
        (256, 192) float32, 0..1; None without a mask.

    Raises:
        ValueError: the mask is damaged.
    """
    if mask is None:
        return None
    # Pixels and cells are counted from the middle of the first.
    left, top = (
        (image_from_crop(square, first, axis) + 0.5 - mask.origin[axis]) / mask.cell - 0.5
        for axis, first in ((0, FIRST_COLUMN), (1, 0))
    )
    return sampled(mask.cells().astype(np.float32), left, top, square.size / CROP_SIDE / mask.cell)


def sampled(cells: np.ndarray, left: float, top: float, step: float) -> np.ndarray:
    """Cells interpolated at the pixels of a crop.

    Args:
        cells: (rows, columns) float32.
        left: column of the cells at the crop's first pixel.
        top: row there.
        step: cells from one pixel to the next.

    Returns:
        (256, 192) float32.
    """
    return cv2.warpAffine(
        cells,
        np.array([[step, 0, left], [0, step, top]]),
        (SEEN_COLUMNS, CROP_SIDE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
