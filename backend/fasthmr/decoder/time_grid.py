# SPDX-License-Identifier: Apache-2.0
"""Evidence at even times near 30 Hz, and motion back at the footage's own.

The networks were trained on windows of about 30 frames a second. Footage of 24 to 40 frames a second is read
as it is, faster footage with several frames to one time, slower footage with empty times between its frames
(which the networks know as gaps); times that are not even are interpolated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.interpolate
import scipy.sparse

_RATE: Final = 30.0
# Total weight of the frames near a time, below which nothing was seen then.
_LEAST: Final = 0.3


@dataclass(frozen=True)
class TimeGrid:
    """Even times for a clip.

    Attributes:
        times: (N,) seconds, ``step`` apart; the first is the clip's first frame's.
        step: seconds.
        frames: (T,) seconds, the footage's own times.
    """

    times: np.ndarray
    step: float
    frames: np.ndarray

    @classmethod
    def over(cls, timestamps: np.ndarray, frame_rate: float) -> TimeGrid:
        """Times for footage.

        Args:
            timestamps: (T,) seconds, increasing, T >= 1.
            frame_rate: average frames per second of the footage.
        """
        frames = np.asarray(timestamps, np.float64)
        if len(frames) > 1:  # what is there counts, not what a header says
            frame_rate = (len(frames) - 1) / (frames[-1] - frames[0])
        step = even_step(frame_rate)
        count = math.ceil((frames[-1] - frames[0]) / step - 1e-6) + 1
        return cls(frames[0] + step * np.arange(count), step, frames)

    def gather(self, values: np.ndarray, belief: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weighted means of what frames hold at the even times: a triangle one step to either side.

        Args:
            values: (T, ...) of the frames.
            belief: (T, ...) not negative; broadcast to the values' shape from the left.

        Returns:
            (N, ...) values, zero where nothing was seen; and the belief at the even times, 0 there too.
        """
        near = self._near()
        spread = belief.reshape(*belief.shape, *[1] * (values.ndim - belief.ndim))
        flat = (values * spread).reshape(len(values), -1)
        total = np.asarray(near.sum(1)).reshape(-1)
        weight = (near @ belief.reshape(len(belief), -1)).reshape(-1, *belief.shape[1:])
        summed = (near @ flat).reshape(-1, *values.shape[1:])
        divisor = weight.reshape(*weight.shape, *[1] * (values.ndim - belief.ndim))
        mean = np.divide(summed, divisor, out=np.zeros_like(summed), where=divisor > 1e-9)
        share = np.where(total > _LEAST, 1 / np.maximum(total, 1e-9), 0.0)
        return mean, weight * share.reshape(-1, *[1] * (weight.ndim - 1))

    def at_frames(self, values: np.ndarray) -> np.ndarray:
        """Smooth values (N, ...) at the even times -> (T, ...) at the footage's own, by a cubic spline."""
        if len(self.times) == len(self.frames) and np.allclose(self.times, self.frames, atol=1e-6):
            return values
        degree = min(3, len(self.times) - 1)
        if degree < 1:
            return np.repeat(values, len(self.frames), axis=0)
        spline = scipy.interpolate.make_interp_spline(self.times, values, k=degree)
        return np.asarray(spline(self.frames)).astype(values.dtype)

    def fill(self, values: np.ndarray) -> np.ndarray:
        """Values (T, ...) that are known at every frame, such as boxes, at the even times, linearly."""
        flat = values.reshape(len(values), -1)
        columns = [np.interp(self.times, self.frames, column) for column in flat.T]
        return np.stack(columns, axis=1).reshape(-1, *values.shape[1:]).astype(values.dtype)

    def _near(self) -> scipy.sparse.csr_array:
        """(N, T): how near each frame is to each even time."""
        place = (self.frames - self.times[0]) / self.step
        rows, columns, shares = [], [], []
        for side in (0, 1):
            row = np.floor(place).astype(int) + side
            share = 1 - np.abs(place - row)
            inside = (row < len(self.times)) & (share > 1e-6)
            rows.append(row[inside])
            columns.append(np.nonzero(inside)[0])
            shares.append(share[inside])
        entries = (np.concatenate(shares), (np.concatenate(rows), np.concatenate(columns)))
        return scipy.sparse.csr_array(entries, shape=(len(self.times), len(self.frames)))


def even_step(frame_rate: float) -> float:
    """Seconds between even times for footage of a rate: a whole multiple or part of its frames, near 1/30.

    Raises:
        ValueError: the rate is not a positive number.
    """
    if not (math.isfinite(frame_rate) and frame_rate > 0):
        raise ValueError(f"a frame rate of {frame_rate}")
    if frame_rate >= _RATE:
        return max(1, round(frame_rate / _RATE)) / frame_rate
    parts = max(1, math.floor(_RATE / frame_rate))
    best = min((parts, parts + 1), key=lambda count: abs(math.log(frame_rate * count / _RATE)))
    return 1 / (frame_rate * best)
