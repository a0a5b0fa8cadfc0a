# SPDX-License-Identifier: Apache-2.0
"""Which soles stand, out of a decoder's likelihoods of contact."""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.ndimage import convolve1d, label

# A sole is planted from where its contact reaches the first to where it falls below the second.
_ON: Final = 0.5
_OFF: Final = 0.3
# Time over which a sole that is set down becomes one that stands, seconds.
_SETTLING: Final = 0.1
# A sole that moves this fast across the view, m/s, is hardly believed to stand; over so many seconds.
_MOVING: Final = 0.3
_MOVING_SPAN: Final = 0.1


def contacts_at_rest(contacts: np.ndarray, soles: np.ndarray, timestamps: np.ndarray) -> np.ndarray:
    """Lower the likelihood of contacts whose soles the picture shows in motion.

    A decoder tells contacts from how people usually move; in a jump or a somersault it is often wrong. While
    the camera stands still, a sole that moves across the view does not stand. Motion along the view does not
    count: the picture hardly shows it.

    Args:
        contacts: (T, K) likelihoods in 0..1.
        soles: (T, K, 3) sole points in the camera frame, metres.
        timestamps: (T,) seconds, increasing.

    Returns:
        (T, K) likelihoods, none higher than before.
    """
    if len(timestamps) < 2:
        return contacts
    step = float(np.median(np.diff(timestamps)))
    reach = min(max(1, round(_MOVING_SPAN / step)), len(timestamps) - 1)
    way = soles[reach:] - soles[:-reach]
    toward = soles[reach:] / np.linalg.norm(soles[reach:], axis=-1, keepdims=True)
    across = way - (way * toward).sum(-1, keepdims=True) * toward
    speed = np.linalg.norm(across, axis=-1) / (timestamps[reach:] - timestamps[:-reach])[:, None]
    # The calmer of the spans before and after: a sole stands from the frame in which it is set down.
    least = np.full(contacts.shape, np.inf)
    least[reach:] = speed
    least[:-reach] = np.minimum(least[:-reach], speed)
    least[~np.isfinite(least)] = 0  # in the middle of a clip that is shorter than two spans
    return contacts * np.exp(-np.square(least / _MOVING))


def planted_soles(contacts: np.ndarray) -> np.ndarray:
    """Tell standing soles from others, without flicker where the likelihood wavers about a half.

    Args:
        contacts: (T, K) likelihoods in 0..1.

    Returns:
        (T, K) bool: spans above 0.3 that reach 0.5 somewhere.
    """
    planted = np.zeros(contacts.shape, bool)
    for sole in range(contacts.shape[1]):
        spans = np.asarray(label(contacts[:, sole] >= _OFF)[0])  # type: ignore[index]
        strong = np.unique(spans[contacts[:, sole] >= _ON])
        planted[:, sole] = np.isin(spans, strong)
    return planted


def softened(planted: np.ndarray, timestamps: np.ndarray, seconds: float = _SETTLING) -> np.ndarray:
    """Let a switch become a ramp: a running mean with a Hann window.

    Args:
        planted: (T, K) 0 or 1, or anything between.
        timestamps: (T,) seconds.
        seconds: half the window.

    Returns:
        (T, K) float64 in 0..1.
    """
    values = planted.astype(np.float64)
    if len(timestamps) < 2:
        return values
    step = float(np.median(np.diff(timestamps)))
    reach = int(np.ceil(seconds / step))
    window = np.hanning(2 * reach + 3)[1:-1]
    return convolve1d(values, window / window.sum(), axis=0, mode="nearest").clip(0, 1)
