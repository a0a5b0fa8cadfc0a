# SPDX-License-Identifier: Apache-2.0
"""Alignment undoes what was done to points, and no other transformation does better."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from fasthmr.evaluation.alignment import (
    align_by_start,
    align_each_frame,
    align_path,
    align_whole,
    fit_similarity,
)

RANDOM = np.random.default_rng(4)


def moved(points: np.ndarray, scale: float, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return scale * points @ Rotation.random(rng=rng).as_matrix().T + rng.normal(size=3)


def test_similarity_is_found_again() -> None:
    points = RANDOM.normal(size=(7, 24, 3))
    turns = Rotation.random(7, rng=RANDOM).as_matrix()
    scales, shifts = RANDOM.uniform(0.3, 3, 7), RANDOM.normal(size=(7, 3))
    target = scales[:, None, None] * points @ turns.transpose(0, 2, 1) + shifts[:, None]
    found = fit_similarity(points, target)
    np.testing.assert_allclose(found.scale, scales)
    np.testing.assert_allclose(found.rotation, turns, atol=1e-9)
    np.testing.assert_allclose(found.shift, shifts, atol=1e-9)
    np.testing.assert_allclose(found.apply(points), target, atol=1e-9)


@pytest.mark.parametrize("rigid", [False, True])
def test_no_similarity_fits_noisy_points_better(rigid: bool) -> None:
    points = RANDOM.normal(size=(12, 3))
    target = moved(points, 1.0 if rigid else 1.7, 1) + 0.3 * RANDOM.normal(size=(12, 3))

    def cost(values: np.ndarray) -> float:
        turn = Rotation.from_rotvec(values[:3]).as_matrix()
        scale = 1.0 if rigid else np.exp(values[6])
        return float(((scale * points @ turn.T + values[3:6] - target) ** 2).sum())

    found = fit_similarity(points, target, rigid=rigid)
    best = float(((found.apply(points) - target) ** 2).sum())
    starts = [np.append(Rotation.random(rng=RANDOM).as_rotvec(), np.zeros(4)) for _ in range(8)]
    searched = min(minimize(cost, start).fun for start in starts)
    assert best == pytest.approx(searched, rel=1e-4)
    if rigid:
        assert found.scale == 1.0


def test_mirror_image_is_not_undone() -> None:
    points = RANDOM.normal(size=(24, 3))
    mirrored = points * [-1, 1, 1]
    found = fit_similarity(points, mirrored)
    assert np.linalg.det(found.rotation) == pytest.approx(1)
    assert np.linalg.norm(found.apply(points) - mirrored, axis=-1).mean() > 0.2


def test_points_without_size_are_only_shifted() -> None:
    found = fit_similarity(np.ones((5, 3)), np.full((5, 3), 4.0))
    assert found.scale == 1.0
    np.testing.assert_allclose(found.apply(np.ones((5, 3))), 4.0)


def test_each_frame_has_a_similarity_of_its_own() -> None:
    truth = RANDOM.normal(size=(4, 24, 3))
    found = np.stack([moved(frame, 0.5 + index, index) for index, frame in enumerate(truth)])
    np.testing.assert_allclose(align_each_frame(found, truth), truth, atol=1e-9)


def test_stretch_is_laid_on_by_its_start_or_whole() -> None:
    truth = RANDOM.normal(size=(10, 24, 3))
    found = moved(truth.reshape(-1, 3), 1.3, 5).reshape(truth.shape)
    np.testing.assert_allclose(align_by_start(found, truth), truth, atol=1e-9)
    np.testing.assert_allclose(align_whole(found, truth), truth, atol=1e-9)
    found[5:] += 1.0  # a jump in the middle does not touch the alignment by the start
    np.testing.assert_allclose(align_by_start(found, truth)[:5], truth[:5], atol=1e-9)
    assert np.abs(align_whole(found, truth)[:5] - truth[:5]).max() > 0.1


def test_path_keeps_its_size() -> None:
    truth = RANDOM.normal(size=(30, 3)).cumsum(0)
    np.testing.assert_allclose(align_path(moved(truth, 1.0, 3), truth), truth, atol=1e-9)
    twice = align_path(2 * truth, truth)
    length = np.linalg.norm(np.diff(truth, axis=0), axis=-1).sum()
    assert np.linalg.norm(np.diff(twice, axis=0), axis=-1).sum() == pytest.approx(2 * length)
