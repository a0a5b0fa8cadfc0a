# SPDX-License-Identifier: Apache-2.0
"""Long clips in overlapping windows, so that memory and time stay in proportion to the clip."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def windows(count: int, size: int, overlap: int) -> Iterator[slice]:
    """Cut a clip into windows that overlap, the last as long as the others.

    Args:
        count: frames of the clip.
        size: frames of a window.
        overlap: frames that neighbours share at least.
    """
    if count <= size:
        yield slice(0, count)
        return
    steps = -(-(count - overlap) // (size - overlap))
    for start in np.linspace(0, count - size, steps).round().astype(int):
        yield slice(int(start), int(start) + size)


def ramp(window: slice, before: int) -> np.ndarray:
    """Share of a new window in each of its frames: it fades in over what an older one covers.

    Args:
        window: the new window.
        before: frames of the clip that are covered already, from 0 to ``before``.

    Returns:
        (size,) between 0 and 1; 1 from ``before`` on.
    """
    shared = max(0, before - window.start)
    share = np.ones(window.stop - window.start)
    share[:shared] = (np.arange(shared) + 1) / (shared + 1)
    return share
