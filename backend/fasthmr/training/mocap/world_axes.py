# SPDX-License-Identifier: Apache-2.0
"""From the axes of motion capture files (y up) to ours (z up), both right-handed."""

from __future__ import annotations

from typing import Final

import numpy as np

#: Turns x right, y up, z to the viewer into x right, y away, z up.
Z_UP_FROM_Y_UP: Final = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])


def z_up_from_y_up(points: np.ndarray) -> np.ndarray:
    """Points (..., 3) in y-up axes -> z-up axes; a figure that faced +z now faces -y."""
    return points @ Z_UP_FROM_Y_UP.T
