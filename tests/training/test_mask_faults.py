# SPDX-License-Identifier: Apache-2.0
"""Masks with a detector's faults."""

from __future__ import annotations

import cv2
import numpy as np

from fasthmr.training.mask_faults import faulty_mask


def person() -> np.ndarray:
    mask = np.zeros((256, 192), np.uint8)
    cv2.ellipse(mask, (96, 128), (45, 110), 0, 0, 360, 255, -1)
    return mask


def faulty(count: int, seed: int = 0) -> list[np.ndarray | None]:
    rng = np.random.default_rng(seed)
    return [faulty_mask(person(), rng) for _ in range(count)]


def test_most_masks_are_nearly_right_and_none_is_exact() -> None:
    exact = person() > 0
    masks = faulty(200)
    there = [mask for mask in masks if mask is not None]
    assert 0.9 < len(there) / len(masks) < 1
    overlap = []
    for mask in there:
        assert mask.shape == (256, 192)
        assert mask.dtype == np.float32
        assert mask.min() >= 0
        assert mask.max() <= 1
        found = mask > 0.5
        overlap.append((found & exact).sum() / (found | exact).sum())
    assert 0.8 < np.median(overlap) < 0.99
    assert max(overlap) < 1
    assert min(overlap) < 0.6  # some lose a part


def test_cells_are_coarse_where_people_are_small() -> None:
    """Between cells a mask is interpolated: the coarser they are, the more of it is neither 0 nor 1."""
    soft = [((mask > 0.01) & (mask < 0.99)).mean() for mask in faulty(100) if mask is not None]
    assert max(soft) > 4 * min(soft)


def test_the_same_seed_gives_the_same_faults() -> None:
    for one, other in zip(faulty(5, seed=3), faulty(5, seed=3), strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_allclose(one, other, atol=1e-5)


def test_nobody_stays_nobody() -> None:
    rng = np.random.default_rng(1)
    found = [faulty_mask(np.zeros((256, 192), np.uint8), rng) for _ in range(20)]
    assert all(mask is None or mask.mean() < 0.05 for mask in found)
