# SPDX-License-Identifier: Apache-2.0
"""Exchanged sides are found where a detector exchanged them, and only there."""

from __future__ import annotations

import itertools

import numpy as np

from fasthmr.decoder.landmark_fit.side_swaps import exchanged_frames


def walking_legs(frames: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """(T, 3, 3) hips, knees and ankles of a walk at 30 frames a second, seen from the side."""
    phase = np.arange(frames) / 30 * 2 * np.pi
    legs = []
    for side, sign in ((0.1, 1), (-0.1, -1)):
        swing = 0.45 * sign * np.sin(phase)
        hip = np.stack([np.zeros(frames), np.zeros(frames), np.full(frames, side)], -1)
        knee = hip + np.stack([0.4 * np.sin(swing), 0.4 * np.cos(swing), np.zeros(frames)], -1)
        ankle = knee + np.stack([0.4 * np.sin(0.6 * swing), 0.4 * np.cos(0.6 * swing), np.zeros(frames)], -1)
        legs.append(np.stack([hip, knee, ankle], 1))
    return legs[0], legs[1]


def exchange(left: np.ndarray, right: np.ndarray, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = frames[:, None, None]
    return np.where(rows, right, left), np.where(rows, left, right)


def test_a_walk_is_left_alone() -> None:
    assert not exchanged_frames(*walking_legs()).any()


def test_exchanged_stretches_are_found() -> None:
    left, right = walking_legs()
    rng = np.random.default_rng(0)
    swapped = np.zeros(60, bool)
    swapped[8:15] = swapped[30:52] = True
    noisy = [leg + rng.normal(0, 0.01, leg.shape) for leg in exchange(left, right, swapped)]
    np.testing.assert_array_equal(exchanged_frames(noisy[0], noisy[1]), swapped)


def test_the_path_is_the_best_of_all() -> None:
    """Viterbi against trying every sequence of states."""
    rng = np.random.default_rng(1)
    left, right = rng.normal(size=(2, 7, 2, 3)) * 0.3
    found = exchanged_frames(left, right)

    def cost(states: tuple[bool, ...]) -> float:
        a, b = exchange(left, right, np.array(states))
        moved = np.linalg.norm(np.diff(np.stack([a, b], 1), axis=0), axis=-1).mean(axis=(1, 2)).sum()
        return moved + 0.10 * np.abs(np.diff(np.array(states, int))).sum() + 0.002 * sum(states)

    best = min(itertools.product([False, True], repeat=7), key=cost)
    np.testing.assert_array_equal(found, best)
