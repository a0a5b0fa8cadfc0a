# SPDX-License-Identifier: Apache-2.0
"""Things before people: how much they hide, and what they look like."""

from __future__ import annotations

import numpy as np

from fasthmr.training.synthesis.occluders import lay_over, random_cover, random_material


def somebody() -> np.ndarray:
    mask = np.zeros((256, 192), bool)
    mask[30:220, 70:120] = True
    return mask


def test_covers_hide_some_and_leave_some() -> None:
    mask, shares, extents = somebody(), [], []
    for seed in range(120):
        cover = random_cover(mask, np.random.default_rng(seed))
        if cover is None:
            continue
        assert cover.shape == mask.shape
        assert cover.dtype == np.float32
        assert cover.min() >= 0
        assert cover.max() == 1
        shares.append((cover[mask] > 0.5).mean())
        extents.append((cover > 0.5).mean())
    assert len(shares) > 100
    assert min(shares) >= 0.04
    assert max(shares) <= 0.65
    assert np.std(shares) > 0.1
    assert np.std(extents) > 0.05  # of many kinds


def test_nobody_cannot_be_hidden() -> None:
    assert random_cover(np.zeros((256, 192), bool), np.random.default_rng(0)) is None


def test_who_is_too_small_to_be_partly_hidden_stays() -> None:
    mask = np.zeros((256, 192), bool)
    mask[100, 90] = True
    assert all(random_cover(mask, np.random.default_rng(seed)) is None for seed in range(10))


def test_a_seed_gives_a_cover_and_its_material() -> None:
    pictures = [np.random.default_rng(9).integers(0, 255, (64, 64, 3)).astype(np.uint8)]
    one, same = (random_cover(somebody(), np.random.default_rng(4)) for _ in range(2))
    assert one is not None
    assert same is not None
    np.testing.assert_array_equal(one, same)
    kinds = set()
    for seed in range(30):
        materials = [random_material((192, 256), pictures, np.random.default_rng(seed)) for _ in range(2)]
        np.testing.assert_array_equal(materials[0], materials[1])
        assert materials[0].shape == (256, 192, 3)
        assert materials[0].dtype == np.float32
        kinds.add(bool((materials[0] == materials[0][:1]).all()))  # painted: the same in all rows
    assert kinds == {True, False}


def test_laying_over_mixes_by_the_cover() -> None:
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (8, 6, 3)).astype(np.uint8)
    material = random.uniform(0, 400, (8, 6, 3)).astype(np.float32)
    cover = random.uniform(0, 1, (8, 6)).astype(np.float32)
    cover[0], cover[1] = 0, 1
    result = lay_over(image, cover, material)
    for y in range(8):
        for x in range(6):
            for channel in range(3):
                mixed = (1 - cover[y, x]) * image[y, x, channel] + cover[y, x] * material[y, x, channel]
                assert abs(int(result[y, x, channel]) - min(mixed, 255)) <= 1
    np.testing.assert_array_equal(result[0], image[0])
