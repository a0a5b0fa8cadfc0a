# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fasthmr.decoder.time_grid import TimeGrid, even_step


@pytest.mark.parametrize(
    ("rate", "grid_rate"),
    [
        (30, 30),
        (29.97, 29.97),
        (25, 25),
        (24, 24),
        (60, 30),
        (50, 25),
        (120, 30),
        (5, 30),
        (12.5, 25),
        (10, 30),
    ],
)
def test_step_is_a_whole_part_or_multiple_of_the_frames(rate: float, grid_rate: float) -> None:
    assert 1 / even_step(rate) == pytest.approx(grid_rate)


@pytest.mark.parametrize("rate", [0.5, 1, 3, 7, 19, 21, 33, 44.9, 46, 90, 240, 1000])
def test_any_rate_ends_near_30(rate: float) -> None:
    assert 20 <= 1 / even_step(rate) <= 45


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_rates_that_cannot_be_are_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="frame rate"):
        even_step(rate)


def test_footage_at_30_is_read_as_it_is() -> None:
    grid = TimeGrid.over(2 + np.arange(50) / 30, 30)
    values = np.random.default_rng(0).normal(size=(50, 3))
    gathered, belief = grid.gather(values, np.ones(50))
    assert np.allclose(gathered, values)
    assert np.allclose(belief, 1)
    assert grid.at_frames(values) is values


def test_slow_footage_leaves_gaps_between_its_frames() -> None:
    grid = TimeGrid.over(np.arange(11) / 5, 5)
    values = np.arange(11.0)[:, None]
    gathered, belief = grid.gather(values, np.ones(11))
    assert len(grid.times) == 61
    assert np.allclose(belief[::6], 1)
    assert np.allclose(gathered[::6, 0], np.arange(11))
    assert not np.delete(belief, np.arange(0, 61, 6)).any()
    assert np.allclose(grid.at_frames(grid.times[:, None] ** 2)[:, 0], grid.frames**2, atol=1e-9)


def test_fast_footage_is_averaged_without_a_shift_in_time() -> None:
    grid = TimeGrid.over(np.arange(121) / 60, 60)
    gathered, _ = grid.gather(grid.frames[:, None], np.ones(121))
    assert np.allclose(gathered[1:-1, 0], grid.times[1:-1], atol=1e-9)
    curve = np.sin(3 * grid.times)
    assert np.allclose(grid.at_frames(curve[:, None])[:, 0], np.sin(3 * grid.frames), atol=1e-4)


def test_what_was_not_seen_does_not_count() -> None:
    grid = TimeGrid.over(np.arange(4) / 60, 60)
    belief = np.array([1.0, 0.0, 0.0, 1.0])
    gathered, there = grid.gather(np.array([1.0, 99.0, 99.0, 5.0])[:, None], belief)
    assert gathered[0] == pytest.approx(1.0)
    assert gathered[1] == pytest.approx(5.0)
    assert (there[:2] > 0).all()


def test_uneven_times_are_brought_to_even_ones() -> None:
    frames = np.sort(np.arange(60) / 30 + np.random.default_rng(1).uniform(-0.01, 0.01, 60))
    grid = TimeGrid.over(frames, 30)
    gathered, belief = grid.gather(frames[:, None], np.ones(60))
    inside = (belief > 0.7) & (np.arange(len(belief)) > 0) & (np.arange(len(belief)) < len(belief) - 1)
    assert np.abs(gathered[inside, 0] - grid.times[inside]).max() < 0.015
    assert np.allclose(grid.fill(frames[:, None])[:, 0], np.interp(grid.times, frames, frames))


def test_single_frame() -> None:
    grid = TimeGrid.over(np.array([3.0]), 30)
    gathered, belief = grid.gather(np.array([[7.0]]), np.ones(1))
    assert gathered.tolist() == [[7.0]]
    assert grid.at_frames(gathered).tolist() == [[7.0]]
    assert belief.tolist() == [1.0]
