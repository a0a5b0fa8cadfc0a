# SPDX-License-Identifier: Apache-2.0
"""Standing soles: no flicker about a half, ramps instead of switches, none that move in the picture."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.placement.planted import contacts_at_rest, planted_soles, softened


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


def soles_of(speed: np.ndarray, frame_rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Soles (90 frames, 1, 3) five metres off that start to move in the third second, and their times."""
    times = np.arange(round(3 * frame_rate)) / frame_rate
    way = np.maximum(times - 2, 0)[:, None] * speed
    return (np.array([0.3, 0.9, 5.0]) + way)[:, None], times


@pytest.mark.parametrize("frame_rate", [10.0, 30.0, 120.0])
def test_contacts_of_moving_soles_are_not_believed(frame_rate: float) -> None:
    soles, times = soles_of(np.array([1.5, 0, 0]), frame_rate)
    found = contacts_at_rest(np.full((len(times), 1), 0.9), soles, times)[:, 0]
    assert (found[times < 1.85] == 0.9).all()
    assert (found[times > 2.15] < 0.01).all()


def test_what_moves_along_the_view_stands_as_before() -> None:
    toward = np.array([0.3, 0.9, 5.0])
    soles, times = soles_of(toward / np.linalg.norm(toward), 30.0)
    contacts = np.random.default_rng(0).random((len(times), 1))
    np.testing.assert_allclose(contacts_at_rest(contacts, soles, times), contacts, atol=1e-6)


def test_standing_soles_that_waver_a_little_stay_planted() -> None:
    rng = np.random.default_rng(1)
    soles = np.array([0.1, 0.9, 4.0]) + rng.normal(0, 0.005, (60, 4, 3))
    found = contacts_at_rest(np.full((60, 4), 0.9), soles, np.arange(60) / 30)
    assert planted_soles(found).all()


def test_a_single_frame_keeps_its_contacts() -> None:
    contacts = np.array([[0.2, 0.9]])
    np.testing.assert_array_equal(contacts_at_rest(contacts, np.ones((1, 2, 3)), np.zeros(1)), contacts)
