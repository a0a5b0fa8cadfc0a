# SPDX-License-Identifier: Apache-2.0
"""From y up to z up: up stays up, and nothing is mirrored."""

from __future__ import annotations

import numpy as np

from fasthmr.training.mocap.world_axes import z_up_from_y_up

from .written_formats import upright


def test_up_is_up_and_hands_stay_right() -> None:
    points = np.random.default_rng(0).normal(size=(4, 5, 3))
    np.testing.assert_allclose(z_up_from_y_up(points), upright(points))
    right, up, ahead = z_up_from_y_up(np.eye(3))
    np.testing.assert_array_equal(up, (0, 0, 1))
    np.testing.assert_array_equal(ahead, (0, -1, 0))
    np.testing.assert_allclose(np.cross(right, up), ahead)
