# SPDX-License-Identifier: GPL-3.0-or-later
"""foot_places.py: one place for each step, whatever the noise; slides are cut up."""

import numpy as np
import pytest
from recover_motion.retarget.foot_places import BALL_ONLY, FLAT, HEEL_ONLY, find_places, robust_mean

LENGTH = 0.2
FPS = 30.0


def foot(heading, heel, noise=0.0, seed=0):
    """Heels and balls (T, 2) and headings (T, 2) of feet that point at angles (T,) from heels (T, 2)."""
    random = np.random.default_rng(seed)
    facing = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    heel = np.asarray(heel) + np.zeros_like(facing)
    ball = heel + LENGTH * facing
    return heel + random.normal(0, noise, heel.shape), ball + random.normal(0, noise, heel.shape), facing


def test_the_robust_mean_has_the_least_sum_of_distances():
    random = np.random.default_rng(0)
    points = random.normal(0, 0.01, (40, 2))
    points[:4] += 0.3
    place = robust_mean(points)

    def cost(at):
        return np.linalg.norm(points - at, axis=1).sum()

    grid = np.stack(np.meshgrid(*[np.linspace(-0.03, 0.03, 61)] * 2), axis=-1).reshape(-1, 2)
    best = grid[np.argmin([cost(at) for at in grid])]
    assert np.linalg.norm(place - best) < 2e-3
    assert np.linalg.norm(place - points[4:].mean(axis=0)) < 0.006  # the four that are far off hardly matter
    np.testing.assert_allclose(robust_mean(points[:1]), points[0])


@pytest.mark.parametrize("seed", range(5))
def test_a_step_has_one_place(seed):
    """Heel, flat, ball: at the true place within the noise, and fitting together."""
    true_heel = np.array([1.0, -2.0])
    heel, ball, facing = foot(np.full(30, 0.8), true_heel, 0.01, seed)
    on_floor = np.zeros((30, 2), bool)
    on_floor[5:20, 0], on_floor[9:26, 1] = True, True
    places = find_places(heel, ball, facing, on_floor, LENGTH, 0.1, FPS)
    assert places.steps() == [(5, 26)]
    assert [places.state[frame] for frame in (6, 12, 22, 28)] == [HEEL_ONLY, FLAT, BALL_ONLY, 0]
    assert np.ptp(places.heel[5:20], axis=0).max() < 1e-12
    assert np.ptp(places.ball[9:26], axis=0).max() < 1e-12
    np.testing.assert_allclose(np.linalg.norm(places.ball[12] - places.heel[12]), LENGTH, atol=1e-12)
    assert np.linalg.norm(places.heel[12] - true_heel) < 0.006


def test_heel_and_ball_by_turns_go_over_the_flat_foot():
    heel, ball, facing = foot(np.zeros(20), [0.0, 0.0])
    on_floor = np.zeros((20, 2), bool)
    on_floor[:8, 0], on_floor[8:, 1] = True, True
    places = find_places(heel, ball, facing, on_floor, LENGTH, 0.1, FPS)
    assert places.state.tolist() == [1] * 8 + [3] + [2] * 11
    np.testing.assert_allclose(places.ball[8:], ball[8:], atol=1e-9)


def test_a_foot_that_turns_on_its_ball_has_two_headings_and_one_ball():
    heading = np.concatenate([np.zeros(10), np.linspace(0, 1.5, 10), np.full(10, 1.5)])
    facing = np.stack([np.cos(heading), np.sin(heading)], axis=1)
    ball = np.zeros((30, 2))
    on_floor = np.ones((30, 2), bool)
    on_floor[10:20, 0] = False
    places = find_places(ball - LENGTH * facing, ball, facing, on_floor, LENGTH, 0.1, FPS)
    assert places.steps() == [(0, 30)]
    np.testing.assert_allclose(places.ball, 0, atol=1e-6)
    np.testing.assert_allclose(places.heading[5], [1, 0], atol=1e-6)
    np.testing.assert_allclose(places.heading[25], [np.cos(1.5), np.sin(1.5)], atol=1e-6)


def test_a_long_slide_is_cut_where_it_is_fastest():
    """A foot that stands for a second, slides 30 cm in a third of one, and stands again."""
    way = np.concatenate([np.zeros(30), np.linspace(0, 0.3, 10), np.full(30, 0.3)])
    heel, ball, facing = foot(np.zeros(70), np.stack([way, 0 * way], axis=1))
    places = find_places(heel, ball, facing, np.ones((70, 2), bool), LENGTH, 0.1, FPS)
    (first, second) = places.steps()
    assert first[0] == 0
    assert 28 <= first[1] < second[0] <= 42
    assert second[1] == 70
    assert np.linalg.norm(places.heel[5] - [0, 0]) < 0.02
    assert np.linalg.norm(places.heel[60] - [0.3, 0]) < 0.02


def test_what_is_far_too_fast_stands_nowhere():
    heel, ball, facing = foot(np.zeros(40), np.stack([np.arange(40) * 0.2, np.zeros(40)], axis=1))
    places = find_places(heel, ball, facing, np.ones((40, 2), bool), LENGTH, 0.1, FPS)
    assert places.steps() == []


@pytest.mark.parametrize("count", [1, 2])
def test_hardly_any_frames(count):
    heel, ball, facing = foot(np.zeros(count), [0.3, 0.1])
    places = find_places(heel, ball, facing, np.ones((count, 2), bool), LENGTH, 0.1, FPS)
    assert places.steps() == [(0, count)]
    np.testing.assert_allclose(places.heel, heel)
