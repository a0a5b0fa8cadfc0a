# SPDX-License-Identifier: Apache-2.0
"""What a detector's masks get wrong, done to exact ones: coarse cells, frayed outlines, holes, lost limbs."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from fasthmr.encoder.proxies import sampled

# Side of a mask's cells, pixels of the crop: a person who fills the picture, and a small one.
_FINEST, _COARSEST = 1.5, 10.0
# Over what distance outlines move alike, pixels of the crop.
_ALIKE: Final = 12
_GONE: Final = 0.04
_HOLES: Final = 0.15
_BLOBS: Final = 0.10
_HALF: Final = 0.04


def faulty_mask(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray | None:
    """A mask as a detector might have given it.

    Args:
        mask: (256, 192), not zero where the person is.
        rng: draws the faults.

    Returns:
        (256, 192) float32, 0..1, interpolated between cells as masks of footage are; None: none was found.
    """
    if rng.random() < _GONE:
        return None
    height, width = mask.shape
    soft = cv2.GaussianBlur((mask > 0).astype(np.float32), (0, 0), rng.uniform(0.5, 4.0))
    coarse = rng.normal(0, 1, (height // _ALIKE + 2, width // _ALIKE + 2)).astype(np.float32)
    frayed = cv2.resize(coarse.clip(-1.5, 1.5), (width, height), interpolation=cv2.INTER_CUBIC)
    # Outlines move where the blurred mask is not flat; inside and outside hardly anything changes.
    soft += rng.uniform(0, 0.22) * frayed + rng.normal(0, 0.1)
    outline = (soft > 0.5).astype(np.float32)
    for share, value in ((_HOLES, 0.0), (_BLOBS, 1.0)):
        while rng.random() < share:
            _ellipse(outline, mask, value, rng)
    if rng.random() < _HALF:  # all below or above a line
        row = int(rng.uniform(0.3, 0.9) * height)
        outline[row:] = 0
    cell = np.exp(rng.uniform(np.log(_FINEST), np.log(_COARSEST)))
    rows, columns = int(height / cell) + 2, int(width / cell) + 2
    # Cells lie anywhere: the first one's middle is up to a cell before the first pixel.
    first = rng.uniform(-1, 0, 2) * cell
    cells = cv2.warpAffine(
        cv2.blur(outline, (max(1, round(cell)), max(1, round(cell)))),
        np.array([[cell, 0, first[0]], [0, cell, first[1]]]),
        (columns, rows),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    cells = (cells > 0.5).astype(np.float32)
    if not cells.any():
        return None
    return sampled(cells, -first[0] / cell, -first[1] / cell, 1 / cell)


def _ellipse(outline: np.ndarray, mask: np.ndarray, value: float, rng: np.random.Generator) -> None:
    """Set an ellipse around some point of the person."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return
    at = rng.integers(len(rows))
    middle = (int(columns[at] + rng.normal(0, 10)), int(rows[at] + rng.normal(0, 10)))
    axes = (int(rng.uniform(3, 20)), int(rng.uniform(3, 30)))
    cv2.ellipse(outline, middle, axes, float(rng.uniform(0, 180)), 0, 360, value, -1)
