# SPDX-License-Identifier: Apache-2.0
"""Where a crop lies in its image: a square around a person, enlarged or reduced to 256 x 256 pixels.

Both published networks cut a square, whatever the person's shape, and look at its middle three quarters:
columns 32 to 223 of 256. The person's box becomes a square by a rule of their own (:data:`HMR2_CROP`,
:data:`CAMERAHMR_CROP`).

Coordinates are indices of pixels, as in OpenCV's ``warpAffine``, which both networks were trained with: pixel
(0, 0) has its middle at (0, 0). The square's centre lies at index 128 of the crop, which is half a pixel to
the lower right of the crop's middle (127.5); kept, for the networks learnt it so.

What the rules stand on was read in the public code: 4D-Humans, ``hmr2/datasets/vitdet_dataset.py`` and
``utils.py`` (commit 6ec7965); CameraHMR, ``core/datasets/dataset.py`` and ``mesh_estimator.py`` (65d11a0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple, overload

import numpy as np

#: Side of the crop that a square becomes, pixels.
CROP_SIDE: Final = 256
#: First of the columns that the network sees, and how many these are; it sees all rows.
FIRST_COLUMN: Final = 32
SEEN_COLUMNS: Final = 192

_MIDDLE: Final = CROP_SIDE / 2
# A box without extent would be enlarged without bound.
_LEAST_SIDE: Final = 1.0
# HMR2.0 blurs when the square is reduced to less than 1/2.2, with this much for what is beyond 1/2.
_BLUR_FROM: Final = 1.1


@dataclass(frozen=True)
class CropRule:
    """How a person's box becomes a crop.

    Attributes:
        aspect: the box is enlarged to this width over height before its larger side is taken; None: as it is.
        anti_alias: whether the image is blurred before it is reduced a lot.
    """

    aspect: float | None
    anti_alias: bool

    def blur(self, size: float) -> float:
        """Standard deviation of the Gaussian that goes over the image before a square is reduced.

        Args:
            size: side of the square, pixels.

        Returns:
            Pixels of the image; 0: it is not blurred.
        """
        reduction = size / CROP_SIDE / 2
        return (reduction - 1) / 2 if self.anti_alias and reduction > _BLUR_FROM else 0.0


#: HMR2.0 (4D-Humans): the network's own 3 to 4, so that the whole box is seen; blurred.
HMR2_CROP: Final = CropRule(aspect=192 / 256, anti_alias=True)
#: CameraHMR: the box's larger side, not blurred. Who is wider than 3/4 of the own height loses the outermost.
#: The channels are RGB: so the training and the evaluation code feed it. (The demonstration turns OpenCV's
#: BGR to RGB and, where the crop is made, back to BGR; that is an oversight of it, and not followed.)
CAMERAHMR_CROP: Final = CropRule(aspect=None, anti_alias=False)


def rule_for(kind: str) -> CropRule:
    """The rule of a kind of network.

    Args:
        kind: "hmr2", "camerahmr" or "open"; our own network is trained with HMR2.0's rule.

    Raises:
        ValueError: there is no such kind.
    """
    rules = {"hmr2": HMR2_CROP, "camerahmr": CAMERAHMR_CROP, "open": HMR2_CROP}
    if kind not in rules:
        raise ValueError(f"kind is {kind!r}, not one of {', '.join(rules)}")
    return rules[kind]


class CropSquare(NamedTuple):
    """What a crop is cut from; it may reach over the image's border, where the crop is black.

    Args:
        x: centre in the image, pixels.
        y: centre in the image, pixels.
        size: side, pixels.
    """

    x: float
    y: float
    size: float


def square_of(boxes: np.ndarray, rule: CropRule) -> list[CropSquare]:
    """The squares around people.

    Args:
        boxes: (B, 4) x0, y0, x1, y1 in pixels, around all that is seen of each person and without a margin
            (the published networks expect the boxes of the detector ViTDet, which are so). A track's boxes
            lie around mask and landmarks and need no correction: on the tests' footage their edges are
            within 1 % of the person's height of a silhouette found by the difference to the empty scene
            (medians, person 1). Around landmarks alone they would be 8 to 9 % smaller.
        rule: of the network.

    Returns:
        B squares of at least one pixel.

    Raises:
        ValueError: numbers that are not finite, or a box whose second corner lies before its first.
    """
    boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
    sides = boxes[:, 2:] - boxes[:, :2]
    if not np.isfinite(boxes).all() or (sides < 0).any():
        bad = boxes[~np.isfinite(boxes).all(1) | (sides < 0).any(1)][0]
        raise ValueError(f"a box of a person is {bad.tolist()}; x0 <= x1 and y0 <= y1 are needed, and finite")
    width, height = sides.T
    if rule.aspect is not None:
        width, height = np.maximum(width, height * rule.aspect), np.maximum(height, width / rule.aspect)
    size = np.maximum(np.maximum(width, height), _LEAST_SIDE)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    return [CropSquare(*map(float, one)) for one in np.column_stack([middle, size])]


@overload
def image_from_crop(square: CropSquare, index: float, axis: int) -> float: ...
@overload
def image_from_crop(square: CropSquare, index: np.ndarray, axis: int) -> np.ndarray: ...
def image_from_crop(square: CropSquare, index: float | np.ndarray, axis: int) -> float | np.ndarray:
    """Where a column or row of the crop lies in the image.

    Args:
        square: what the crop was cut from.
        index: in the crop of 256 x 256; between pixels and outside too.
        axis: 0 for columns (x), 1 for rows (y).

    Returns:
        The index of the pixel in the image.
    """
    return square[axis] + (index - _MIDDLE) * (square.size / CROP_SIDE)


@overload
def crop_from_image(square: CropSquare, index: float, axis: int) -> float: ...
@overload
def crop_from_image(square: CropSquare, index: np.ndarray, axis: int) -> np.ndarray: ...
def crop_from_image(square: CropSquare, index: float | np.ndarray, axis: int) -> float | np.ndarray:
    """The inverse of :func:`image_from_crop`."""
    return _MIDDLE + (index - square[axis]) * (CROP_SIDE / square.size)
