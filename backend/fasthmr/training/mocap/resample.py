# SPDX-License-Identifier: Apache-2.0
"""Motion at 30 frames a second, without the aliases that leaving out frames would make."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from fasthmr.training.mocap.packed import FRAME_RATE

_LARGEST_FACTOR = 1000


def resample(values: np.ndarray, frame_rate: float, target_rate: float = FRAME_RATE) -> NDArray[np.float32]:
    """Values of a clip at another frame rate; the first frame stays where it is.

    A zero-phase low-pass at half the smaller rate, then interpolation (polyphase), so fast shaking in
    the source does not turn up as slow motion. Beyond the ends the motion goes on in a straight line.

    Args:
        values: (T, ...) one frame a row.
        frame_rate: of these, frames per second.
        target_rate: of what is wanted.

    Raises:
        ValueError: a rate is not positive.
    """
    if frame_rate <= 0 or target_rate <= 0:
        raise ValueError(f"frame rates must be positive, not {frame_rate} and {target_rate}")
    values = np.asarray(values)
    ratio = Fraction(target_rate / frame_rate).limit_denominator(_LARGEST_FACTOR)
    if ratio == 1 or len(values) < 2:
        return values.astype(np.float32)
    count = int(np.floor((len(values) - 1) * float(ratio) + 1e-6)) + 1
    # In double precision and about the first frame: far from the origin filters lose digits.
    moved = values.astype(np.float64) - values[:1]
    slow = resample_poly(moved, ratio.numerator, ratio.denominator, axis=0, padtype="line")
    return (slow[:count] + values[:1]).astype(np.float32)
