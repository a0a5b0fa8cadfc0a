# SPDX-License-Identifier: Apache-2.0
"""Standing soles: no flicker about a half, and ramps instead of switches."""

from __future__ import annotations

import numpy as np

from fasthmr.placement.planted import planted_soles, softened


def naive(contacts: np.ndarray) -> np.ndarray:
    """A span between frames below 0.3 is planted when one of its frames reaches 0.5."""
    planted = np.zeros(len(contacts), bool)
    for frame in range(len(contacts)):
        low = high = frame
        if contacts[frame] < 0.3:
            continue
        while low > 0 and contacts[low - 1] >= 0.3:
            low -= 1
        while high + 1 < len(contacts) and contacts[high + 1] >= 0.3:
            high += 1
        planted[frame] = contacts[low : high + 1].max() >= 0.5
    return planted


def test_hysteresis() -> None:
    rng = np.random.default_rng(0)
    contacts = np.clip(np.cumsum(rng.normal(0, 0.15, (300, 4)), axis=0) % 2 - 0.5, 0, 1)
    found = planted_soles(contacts)
    assert 0 < found.mean() < 1
    for sole in range(4):
        np.testing.assert_array_equal(found[:, sole], naive(contacts[:, sole]))


def test_wavering_about_a_half_is_one_span() -> None:
    contacts = np.array([0, 0.4, 0.6, 0.45, 0.55, 0.4, 0.1, 0.4, 0.4, 0])[:, None]
    assert planted_soles(contacts)[:, 0].tolist() == [False] + 5 * [True] + 4 * [False]


def test_ramps_keep_the_middle_of_a_step() -> None:
    planted = np.zeros((60, 2), bool)
    planted[20:40, 0] = True
    soft = softened(planted, np.arange(60) / 30)
    assert (soft[:, 1] == 0).all()
    assert (soft[25:35, 0] > 0.999).all()
    assert (soft[:16, 0] == 0).all()
    assert np.abs(np.diff(soft[:, 0])).max() < 0.35
    np.testing.assert_array_equal(softened(np.ones((1, 2), bool), np.zeros(1)), np.ones((1, 2)))
