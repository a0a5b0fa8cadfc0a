# SPDX-License-Identifier: GPL-3.0-or-later
"""Smoothing without delay: shaking goes, movements and their timing stay.

The strength is a time: a swing to and fro that takes `seconds` is halved. Quicker ones vanish (1.5 % is
left of one that takes half as long), slower ones stay (93 % of one twice as long, 98 % of three times).
Past and future weigh alike, so that nothing comes later than it was.
"""

from __future__ import annotations

import math

import numpy as np

from .rotations import without_sign_jumps

# A gain of 1 - (1 - g)^2 = 1/2 at a period of 1 needs g = exp(-2 (pi sigma)^2) = 0.293
_SIGMA = math.sqrt(-math.log(1 - math.sqrt(0.5)) / 2) / math.pi

_REACH = 4.0
"""The bell is cut off at this many sigmas, where it is down to 0.03 %."""


def smooth_values(values: np.ndarray, seconds: float, fps: float) -> np.ndarray:
    """Smooth numbers over time.

    Each frame becomes the height of a straight line that is laid through its neighbours, weighed by a
    Gaussian bell; what that took away is smoothed likewise and given back ("twicing", Tukey 1977). In the
    middle of a clip that is a convolution with 2 g - g * g, g the bell.

    What it does to peaks: a plain bell flattens every bend; this one keeps parabolas, so that a peak is
    lowered only as far as it is as short as `seconds`. A reach or a jump that lasts for three times
    `seconds` keeps 98 % of its height. A sudden stop is rounded, and swings over by up to 3 % of the step.

    Args:
        values: (T, ...), one row a frame.
        seconds: strength; 0 leaves everything as it is.
        fps: frames per second.

    Returns:
        (T, ...) float64.
    """
    values = np.asarray(values, np.float64)
    sigma = seconds * _SIGMA * fps
    if len(values) < 3 or sigma * _REACH < 1:
        return values.copy()
    flat = values.reshape(len(values), -1)
    once = _local_lines(flat, sigma)
    return (once + _local_lines(flat - once, sigma)).reshape(values.shape)


def smooth_rotations(quats: np.ndarray, seconds: float, fps: float) -> np.ndarray:
    """Smooth rotations over time, as `smooth_values` does numbers.

    The quaternions are put on one side, smoothed as numbers and brought back to length 1. That is as good
    as any mean of rotations here: a steady turn about a fixed axis, however fast, comes out as it was,
    because the bell shortens its quaternions but does not turn them.

    Args:
        quats: (T, ..., 4) unit quaternions.
        seconds: strength; 0 leaves everything as it is.
        fps: frames per second.

    Returns:
        (T, ..., 4) unit quaternions without changes of sign from frame to frame.
    """
    mixed = smooth_values(without_sign_jumps(quats), seconds, fps)
    length = np.linalg.norm(mixed, axis=-1, keepdims=True)
    # a joint that flips around at every other frame has no mean: it is left alone there
    lost = length < 1e-6
    mixed = np.where(lost, quats, mixed / np.where(lost, 1, length))
    return without_sign_jumps(mixed)


def _local_lines(values: np.ndarray, sigma: float) -> np.ndarray:
    """Height at each frame of the line fitted to its neighbours, weighed by a bell; values (T, N)."""
    count = len(values)
    reach = min(math.ceil(_REACH * sigma), count - 1)
    offset = np.arange(-reach, reach + 1)
    bell = np.exp(-0.5 * (offset / sigma) ** 2)
    bell /= bell.sum()
    # moments of the weights that lie within the clip: away from its ends 1, 0 and sigma^2
    inside = np.ones((count, 1))
    weight = _weighed_sums(inside, bell)
    first = _weighed_sums(inside, bell * offset)
    second = _weighed_sums(inside, bell * offset**2)
    heights, slopes = _weighed_sums(values, bell), np.zeros_like(values)
    for end in (slice(0, reach), slice(max(count - reach, reach), count)):  # elsewhere `first` is 0
        near = slice(max(end.start - reach, 0), min(end.stop + reach, count))
        slopes[end] = _weighed_sums(values[near], bell * offset)[end.start - near.start :][
            : end.stop - end.start
        ]
    return (second * heights - first * slopes) / (second * weight - first**2)


def _weighed_sums(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Sums over the neighbours -R..R of each row, weighed (2 R + 1,), nothing beyond the ends; (T, N)."""
    size = _fast_length(len(values) + len(weights) - 1)
    # correlation, hence the reversed weights
    spectrum = np.fft.rfft(values, size, axis=0) * np.fft.rfft(weights[::-1], size)[:, None]
    start = len(weights) // 2
    return np.fft.irfft(spectrum, size, axis=0)[start : start + len(values)]


def _fast_length(least: int) -> int:
    """The smallest length without prime factors above 5, for which Fourier transforms are fast."""
    candidates = (
        2**twos * 3**threes * 5**fives
        for twos in range(least.bit_length() + 1)
        for threes in range(5)
        for fives in range(4)
    )
    return min(length for length in candidates if length >= least)
