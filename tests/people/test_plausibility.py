# SPDX-License-Identifier: Apache-2.0
"""People are plausible, crumpled figures are not."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.people import LANDMARK_COUNT, LANDMARK_MIRROR
from fasthmr.people.plausibility import plausibility, plausible_proportions

from .synthetic import figure

SEEN = np.full(LANDMARK_COUNT, 0.95)


@pytest.mark.parametrize("size", [0.85, 1.0, 1.12])
def test_people_of_several_sizes_are_plausible(size: float) -> None:
    assert plausibility(0.99, SEEN, size * figure()) > 0.6


def test_turning_and_mirroring_change_nothing() -> None:
    world = figure(0.2)
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    expected = plausible_proportions(world)
    assert plausible_proportions(world @ turn) == pytest.approx(expected)
    assert plausible_proportions(world[list(LANDMARK_MIRROR)]) == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(10))
def test_crumpled_figures_are_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    crumpled = figure() * rng.uniform(0, 1, (LANDMARK_COUNT, 3))
    assert plausibility(0.9, 0.6 * SEEN, crumpled) < 0.45


def test_hidden_people_are_less_plausible_than_seen_ones() -> None:
    assert plausibility(0.9, 0.1 * SEEN, figure()) < 0.4 * plausibility(0.9, SEEN, figure())


def test_batches() -> None:
    worlds = np.stack([figure(0.1), figure(0.3)])
    np.testing.assert_allclose(
        plausible_proportions(worlds), [plausible_proportions(world) for world in worlds]
    )
