# SPDX-License-Identifier: Apache-2.0
"""Cameras look where they should, keep the person in the picture, and move only where they may."""

from __future__ import annotations

import numpy as np
import pytest

from fasthmr.evaluation.footage.cameras import SET_UPS, SetUp, Shot, film, look_at, project, smoothed

SIZE = (960, 540)


def walker(frames: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Points of a box as large as a person (T, N, 3), and its pelvis (T, 3)."""
    corners = np.array([(x, y, z) for x in (-0.3, 0.3) for y in (-0.2, 0.2) for z in (0.0, 1.7)])
    pelvis = np.stack([np.linspace(0, 1.5, frames), np.zeros(frames), np.full(frames, 0.9)], axis=1)
    return corners + pelvis[:, None] * [1, 1, 0], pelvis


def shot_of(set_up: SetUp, seed: int = 0) -> Shot:
    points, pelvis = walker()
    return film(set_up, points, pelvis, 1.7, SIZE, 30.0, np.random.default_rng(seed))


def test_camera_looks_at_its_target_upright() -> None:
    eye, target = np.array([3.0, -2.0, 1.5]), np.array([0.5, 1.0, 0.9])
    matrix = look_at(eye, target)
    seen = matrix[:3, :3] @ target + matrix[:3, 3]
    np.testing.assert_allclose(seen, np.array([0, 0, float(np.linalg.norm(target - eye))]), atol=1e-12)
    np.testing.assert_allclose(matrix[:3, :3] @ eye + matrix[:3, 3], 0, atol=1e-12)
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1)
    above = matrix[:3, :3] @ (target + np.array([0, 0, 0.1])) + matrix[:3, 3]
    assert above[1] < 0  # up in the world is up in the picture
    assert above[0] == pytest.approx(0, abs=1e-12)


def test_projection_follows_the_pinhole() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(3, 5, 3))
    camera = look_at(np.tile([0.0, -6.0, 1.0], (3, 1)), np.zeros((3, 3)))
    intrinsics = np.array([[800.0, 0, 480], [0, 810, 270], [0, 0, 1]])
    pixels, depth = project(points, intrinsics, camera)
    for frame in range(3):
        for number in range(5):
            x, y, z = camera[frame, :3, :3] @ points[frame, number] + camera[frame, :3, 3]
            np.testing.assert_allclose(pixels[frame, number], [800 * x / z + 480, 810 * y / z + 270])
            assert depth[frame, number] == pytest.approx(z)


@pytest.mark.parametrize("set_up", SET_UPS)
def test_person_stays_in_the_picture(set_up: SetUp) -> None:
    shot = shot_of(set_up)
    points, _ = walker()
    pixels, depth = project(points, shot.intrinsics, shot.camera_from_world)
    inside = ((pixels > 0) & (pixels < SIZE)).all(-1).all(-1) & (depth > 0.5).all(-1)
    assert shot.whole > 0.9
    assert inside.mean() >= shot.whole
    np.testing.assert_allclose(
        shot.world_from_camera @ shot.camera_from_world, np.tile(np.eye(4), (60, 1, 1)), atol=1e-9
    )
    height = np.ptp(pixels[..., 1], axis=1) / SIZE[1]
    assert 0.2 < height.min() < height.max() < 1


def test_set_ups_differ_as_they_are_called() -> None:
    eyes = {set_up: shot_of(set_up).world_from_camera[:, :3, 3] for set_up in SET_UPS}
    for set_up in ("still", "high"):
        assert np.ptp(eyes[set_up], axis=0).max() == pytest.approx(0, abs=1e-9)
    assert np.linalg.norm(np.diff(eyes["moving"], axis=0), axis=-1).sum() > 0.3
    assert eyes["high"][:, 2].min() > 2.5 > 1.8 > eyes["still"][:, 2].max()


def test_same_seed_gives_the_same_camera_and_another_another() -> None:
    for set_up in SET_UPS:
        np.testing.assert_array_equal(
            shot_of(set_up, 3).camera_from_world, shot_of(set_up, 3).camera_from_world
        )
        assert (
            np.abs(shot_of(set_up, 3).camera_from_world - shot_of(set_up, 4).camera_from_world).max() > 0.01
        )


def test_smoothing_keeps_what_is_level_and_its_length() -> None:
    np.testing.assert_allclose(smoothed(np.full((7, 2), 4.0), 3), 4.0)
    noise = np.random.default_rng(1).normal(size=(200, 1))
    assert smoothed(noise, 5).shape == (200, 1)
    assert smoothed(noise, 5).std() < 0.5 * noise.std()
