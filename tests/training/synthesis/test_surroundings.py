# SPDX-License-Identifier: Apache-2.0
"""Places: textures of a size, drawn by a seed, sometimes from pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fasthmr.training.synthesis.surroundings import random_surroundings


def test_textures_of_a_size_that_are_not_empty() -> None:
    for seed in range(6):
        place = random_surroundings(np.random.default_rng(seed))
        assert place.floor.shape == (512, 512, 3)
        assert place.around.shape == (512, 1024, 3)
        assert place.floor.dtype == place.around.dtype == np.uint8
        assert 0.8 <= place.floor_size <= 5
        assert place.floor.std() > 1
        assert place.around.std() > 1


def test_a_seed_gives_a_place() -> None:
    one, same, other = (random_surroundings(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.floor, same.floor)
    np.testing.assert_array_equal(one.around, same.around)
    assert one.floor_size == same.floor_size
    assert (one.around != other.around).any()


def test_pictures_are_put_around_in_rgb(tmp_path: Path) -> None:
    orange = np.full((30, 50, 3), (10, 120, 240), np.uint8)  # OpenCV's order
    cv2.imwrite(str(tmp_path / "orange.png"), orange)
    used = 0
    for seed in range(12):
        place = random_surroundings(np.random.default_rng(seed), [tmp_path / "orange.png"])
        used += bool((place.around == (240, 120, 10)).all())
    assert 4 <= used < 12


def test_a_picture_that_cannot_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for seed in range(4):
        place = random_surroundings(np.random.default_rng(seed), [tmp_path / "broken.png"])
        assert place.around.std() > 1
