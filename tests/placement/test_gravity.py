# SPDX-License-Identifier: Apache-2.0
"""One "up" for a clip: robust, shared by all, and corrected by the floor under the people's feet."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fasthmr.evidence import BodyEstimate
from fasthmr.placement.camera import LEVEL_CAMERA
from fasthmr.placement.gravity import level_out, mean_up, world_axes

LEVEL = np.array([0.0, -1.0, 0.0])


def pitched(degrees: float) -> np.ndarray:
    """Up for a camera that looks down by so many degrees."""
    return np.array([0, -math.cos(math.radians(degrees)), -math.sin(math.radians(degrees))])


def person(up: np.ndarray | None, confidence: float = 1.0, frames: int = 60) -> BodyEstimate:
    return BodyEstimate(
        rotations=np.tile(np.eye(3, dtype=np.float32), (frames, 24, 1, 1)),
        betas=np.zeros(10, np.float32),
        translation=np.zeros((frames, 3), np.float32),
        joints=np.zeros((frames, 24, 3), np.float32),
        confidence=np.full((frames, 24), confidence, np.float32),
        up=None if up is None else np.broadcast_to(up, (frames, 3)).astype(np.float32),
    )


def degrees_between(a: np.ndarray, b: np.ndarray) -> float:
    return math.degrees(math.acos(float(np.clip(a @ b, -1, 1))))


def test_nobody_knows() -> None:
    assert mean_up([person(None), person(None)]) is None


def test_all_people_count_by_confidence() -> None:
    up = mean_up([person(pitched(10)), person(pitched(14)), person(None)])
    assert up is not None
    assert degrees_between(up, pitched(12)) < 0.01
    up = mean_up([person(pitched(10)), person(pitched(14), confidence=0.1)])
    assert up is not None
    assert degrees_between(up, pitched(10)) < 0.5


def test_wild_frames_hardly_matter() -> None:
    one = person(pitched(20))
    ups = np.array(one.up)
    ups[:15] = [1, 0, 0]
    up = mean_up([replace(one, up=ups)])
    assert up is not None
    assert degrees_between(up, pitched(20)) < 1.0
    plain = ups.mean(0) / np.linalg.norm(ups.mean(0))
    assert degrees_between(plain, pitched(20)) > 15  # what a plain mean would give


def test_a_level_camera_has_the_axes_of_old() -> None:
    np.testing.assert_allclose(world_axes(LEVEL), LEVEL_CAMERA, atol=1e-12)


@pytest.mark.parametrize("up", [pitched(30), pitched(-20), np.array([0.3, -0.9, 0.1]), pitched(90)])
def test_axes_are_a_rotation_with_up_at_z_and_the_camera_toward_y(up: np.ndarray) -> None:
    up = up / np.linalg.norm(up)
    axes = world_axes(up)
    np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    np.testing.assert_allclose(axes @ up, [0, 0, 1], atol=1e-12)
    assert (axes @ [0, 0, 1])[0] == pytest.approx(0, abs=1e-12)
    assert (axes @ [0, 0, 1])[1] >= -1e-12


def steps_on_a_floor(up: np.ndarray, noise: float = 0.01, box: float = 0.0) -> np.ndarray:
    """Soles (T, 4, 3) in the camera frame that stand all over a floor; some of them on a box."""
    rng = np.random.default_rng(0)
    world = np.concatenate([rng.uniform([-2, 2], [2, 8], (600, 2)), rng.normal(-1.4, noise, (600, 1))], 1)
    world[:150, 2] += box
    return world.reshape(150, 4, 3) @ world_axes(up)


@pytest.mark.parametrize("box", [0.0, 0.5])
def test_planted_soles_lie_level(box: float) -> None:
    true, guess = pitched(20), pitched(17)
    soles = steps_on_a_floor(true, box=box)
    times = np.arange(150) / 30
    found = level_out(guess, [soles, soles + 0.3 * true], [np.ones((150, 4))] * 2, [times] * 2)
    assert degrees_between(found, true) < 0.6
    assert degrees_between(found, guess) > 2


def test_a_person_on_the_spot_does_not_turn_the_world() -> None:
    rng = np.random.default_rng(1)
    soles = rng.normal([0, 1.4, 4], 0.02, (150, 4, 3))
    found = level_out(pitched(10), [soles], [np.ones((150, 4))], [np.arange(150) / 30])
    assert degrees_between(found, pitched(10)) < 0.3


def test_without_planted_soles_nothing_changes() -> None:
    soles = steps_on_a_floor(pitched(20))
    found = level_out(pitched(10), [soles], [np.zeros((150, 4))], [np.arange(150) / 30])
    np.testing.assert_array_equal(found, pitched(10))
    np.testing.assert_array_equal(level_out(pitched(10), [], [], []), pitched(10))


def test_a_steep_slope_turns_the_world_only_so_far() -> None:
    soles = steps_on_a_floor(pitched(60))
    found = level_out(pitched(10), [soles], [np.ones((150, 4))], [np.arange(150) / 30])
    assert degrees_between(found, pitched(10)) < math.degrees(0.151)
