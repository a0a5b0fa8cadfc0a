# SPDX-License-Identifier: Apache-2.0
"""Display matrices against the definition: every stored pixel lands where the matrix sends it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from fasthmr.footage.orientation import Orientation, from_display_matrix

ALL = [Orientation(mirrored, turn) for mirrored, turn in itertools.product((False, True), (0, 90, 180, 270))]
MATRICES = [
    (a, b, c, d)
    for a, b, c, d in itertools.product((-1, 0, 1), repeat=4)
    if abs(a * d - b * c) == 1 and abs(a) + abs(b) == 1 and abs(c) + abs(d) == 1
]


@pytest.mark.parametrize("entries", MATRICES)
def test_each_of_the_eight_matrices(entries):
    a, b, c, d = entries
    image = np.random.default_rng(0).integers(0, 255, (3, 5, 3), np.uint8)
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1], np.int64) * 65536
    landed = {}
    for q, p in itertools.product(range(3), range(5)):
        landed[(a * p + c * q, b * p + d * q)] = image[q, p]
    left, top = min(x for x, _ in landed), min(y for _, y in landed)
    width, height = max(x for x, _ in landed) - left + 1, max(y for _, y in landed) - top + 1
    expected = np.zeros((height, width, 3), np.uint8)
    for (x, y), pixel in landed.items():
        expected[y - top, x - left] = pixel
    orientation = from_display_matrix(matrix.astype(np.int32))
    np.testing.assert_array_equal(orientation.apply(image), expected)
    assert orientation.swaps_sides == (width == 3)


def test_the_eight_matrices_give_eight_orientations():
    found = {
        from_display_matrix(np.array([a, b, 0, c, d, 0, 0, 0, 1], np.int32) * 65536)
        for a, b, c, d in MATRICES
    }
    assert found == set(ALL)


def test_a_matrix_of_zeros_means_upright():
    assert from_display_matrix(np.zeros(9, np.int32)) == Orientation()
