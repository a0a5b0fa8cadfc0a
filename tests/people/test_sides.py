# SPDX-License-Identifier: Apache-2.0
"""Swapped sides: short swaps are found, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.people import LANDMARK_INDEX, LANDMARK_MIRROR
from fasthmr.people.sides import exchanged_limbs, swapped_frames

from .synthetic import figure

MIRROR = list(LANDMARK_MIRROR)


def walk(frames: int, rate: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    times = np.arange(frames) / rate
    world = np.stack([figure(0.25 * np.sin(6 * time)) for time in times])
    world += rng.normal(0, 0.015, world.shape)
    image = world * 200 + np.array([400, 300, 0]) + np.array([80, 0, 0]) * times[:, None, None]
    return image, world, np.full(frames, 320.0), times


@pytest.mark.parametrize("start", [0, 1, 20, 85])
@pytest.mark.parametrize("length", [1, 4, 12])
def test_a_short_swap_is_found(start: int, length: int) -> None:
    image, world, heights, times = walk(90, 30.0)
    expected = np.zeros(90, bool)
    expected[start : start + length] = True
    for points in (image, world):
        points[expected] = points[expected][:, MIRROR]
    np.testing.assert_array_equal(swapped_frames(image, world, heights, times), expected)


@pytest.mark.parametrize("rate", [10.0, 30.0, 60.0])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_in_a_good_track(rate: float, seed: int) -> None:
    assert not swapped_frames(*walk(120, rate, seed)).any()


def test_a_figure_that_turns_round_is_left_alone() -> None:
    times = np.arange(60) / 30.0
    angles = np.linspace(0, 2 * np.pi, 60)
    world = np.stack(
        [
            figure() @ np.array([[np.cos(a), 0, -np.sin(a)], [0, 1, 0], [np.sin(a), 0, np.cos(a)]])
            for a in angles
        ]
    )
    assert not swapped_frames(world * 200, world, np.full(60, 320.0), times).any()


def test_a_long_stretch_is_never_turned() -> None:
    image, world, heights, times = walk(180, 30.0)
    swapped = slice(60, 140)
    for points in (image, world):
        points[swapped] = points[swapped][:, MIRROR]
    found = swapped_frames(image, world, heights, times)
    assert not found[swapped].all()
    assert found.sum() <= 45


def test_short_tracks() -> None:
    image, world, heights, times = walk(2, 30.0)
    assert swapped_frames(image, world, heights, times).tolist() == [False, False]


def exchange_legs(image: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Put the left lower leg where the right one is, in the picture alone."""
    left = [LANDMARK_INDEX[f"left_{part}"] for part in ("knee", "ankle", "heel", "foot_index")]
    right = [MIRROR[index] for index in left]
    out = image.copy()
    rows = np.flatnonzero(frames)[:, None]
    out[rows, left, :2], out[rows, right, :2] = image[rows, right, :2], image[rows, left, :2]
    return out


def legs_and_arms(image: np.ndarray, heights: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    legs, arms = exchanged_limbs(image, heights, times).values()
    return legs, arms


@pytest.mark.parametrize("seed", range(3))
def test_exchanged_lower_legs_are_found_and_arms_left_alone(seed: int) -> None:
    image, _, heights, times = walk(90, 30.0, seed)
    expected = np.zeros(90, bool)
    expected[[8, 36, 37, 38, 66, 70]] = True  # frames in which the legs are apart
    legs, arms = legs_and_arms(exchange_legs(image, expected), heights, times)
    np.testing.assert_array_equal(legs, expected)
    assert not arms.any()


@pytest.mark.parametrize("rate", [10.0, 30.0])
def test_steps_seen_from_the_side_are_no_exchange(rate: float) -> None:
    """Feet pass each other twice a second; nothing is wrong with that."""
    times = np.arange(int(4 * rate)) / rate
    image = np.zeros((len(times), 33, 3))
    for side, sign in (("left", 1), ("right", -1)):
        swing = sign * np.sin(2 * np.pi * times)
        lift = np.maximum(0, sign * np.cos(2 * np.pi * times))
        for part, reach, height in (
            ("knee", 25, 80),
            ("ankle", 60, 160),
            ("heel", 64, 170),
            ("foot_index", 58, 172),
        ):
            index = LANDMARK_INDEX[f"{side}_{part}"]
            image[:, index, 0] = 300 + 100 * times + reach * swing
            image[:, index, 1] = 200 + height - 0.2 * reach * lift
    image[..., :2] += np.random.default_rng(0).normal(0, 1.5, image[..., :2].shape)
    legs, _ = legs_and_arms(image, np.full(len(times), 320.0), times)
    assert not legs.any()
