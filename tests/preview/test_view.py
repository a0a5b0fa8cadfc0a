# SPDX-License-Identifier: Apache-2.0
"""Cameras against the pinhole written out, and the follower against its promises."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from fasthmr.body.projection import project
from fasthmr.preview.view import SideCamera, View, pinhole_view


def drawn_at(view: View, points: np.ndarray) -> np.ndarray:
    """Where the graphics card puts points: pixels from the picture's upper left corner."""
    clip = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ view.clip_from_world.T
    return (clip[:, :2] / clip[:, 3:] + 1) / 2 * view.size


@pytest.mark.parametrize("seed", range(5))
def test_points_are_drawn_where_the_camera_matrix_projects_them(seed):
    rng = np.random.default_rng(seed)
    world_from_camera = np.eye(4)
    world_from_camera[:3, :3] = roma.random_rotmat(generator=torch.Generator().manual_seed(seed)).numpy()
    world_from_camera[:3, 3] = rng.normal(size=3)
    intrinsics = np.array([[900.0, 3.0, 610.0], [0.0, 950.0, 380.0], [0.0, 0.0, 1.0]])
    in_camera = np.stack([rng.uniform(-2, 2, 50), rng.uniform(-2, 2, 50), rng.uniform(0.5, 9, 50)], axis=1)
    in_world = in_camera @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]
    view = pinhole_view(intrinsics, world_from_camera, (1280, 720), (640, 362))
    pixels = in_camera @ intrinsics.T
    expected = pixels[:, :2] / pixels[:, 2:] * (640 / 1280, 362 / 720)
    np.testing.assert_allclose(drawn_at(view, in_world), expected, atol=1e-6)
    np.testing.assert_allclose(view.eye, world_from_camera[:3, 3])
    intrinsics[0, 1] = 0.0  # the backend's own projection has no skew
    view = pinhole_view(intrinsics, world_from_camera, (1280, 720), (1280, 720))
    same = project(torch.from_numpy(in_camera), torch.from_numpy(intrinsics)).numpy()
    np.testing.assert_allclose(drawn_at(view, in_world), same, atol=1e-6)


def test_nearer_points_win_the_depth_test():
    view = pinhole_view(np.diag([500.0, 500.0, 1.0]), np.eye(4), (100, 100), (100, 100))
    points = np.array([[0.0, 0.0, depth, 1.0] for depth in (0.06, 0.5, 2.0, 2.001, 30.0, 900.0)])
    clip = points @ view.clip_from_world.T
    depth = clip[:, 2] / clip[:, 3]
    assert (np.diff(depth) > 0).all()
    assert depth[0] > -1
    assert depth[-1] < 1


@pytest.mark.parametrize("size", [(540, 540), (576, 960), (400, 200)])
@pytest.mark.parametrize("seed", range(4))
def test_the_side_camera_keeps_everybody_and_the_floor_in_the_picture(size, seed):
    rng = np.random.default_rng(seed)
    middle = np.cumsum(rng.normal(0, 0.05, (300, 3)), axis=0)  # about walking pace
    reach = rng.uniform(0.3, 1.0, (300, 3))
    lower, upper = middle - reach, middle + reach
    lower[:, 2] = np.maximum(lower[:, 2], 0.0)
    upper[:, 2] = lower[:, 2] + 1.7
    lower[80:120] = upper[80:120] = np.nan  # nobody there
    camera = SideCamera(lower, upper, 30.0, size)
    for frame in [*range(0, 80, 7), *range(120, 300, 7)]:
        view = camera.view(frame)
        low, high = lower[frame], upper[frame]
        corners = np.array(
            [[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (0.0, high[2])]
        )
        pixels = drawn_at(view, corners)
        assert (pixels >= 0).all()
        assert (pixels <= size).all()


def test_the_side_camera_is_level_and_has_the_footage_camera_on_its_left():
    corners = np.tile([[-0.5, -0.5, 0.0]], (20, 1)), np.tile([[0.5, 0.5, 1.8]], (20, 1))
    view = SideCamera(*corners, 25.0, (400, 400)).view(3)
    near, far, high = drawn_at(view, np.array([[0.0, -0.4, 1.0], [0.0, 0.4, 1.0], [0.0, -0.4, 1.5]]))
    assert near[0] < far[0]
    assert near[1] == pytest.approx(far[1])
    assert high[1] < near[1]
    assert high[0] == pytest.approx(near[0])
    assert view.eye[0] > 1.0


def test_the_side_camera_moves_smoothly():
    steps = np.repeat([0.0, 4.0], 100)[:, None] * [1.0, 1.0, 0.0]
    camera = SideCamera(steps - 0.4, steps + np.array([0.4, 0.4, 1.8]), 30.0, (400, 400))
    eyes = np.array([camera.view(frame).eye for frame in range(200)])
    assert np.linalg.norm(np.diff(eyes, axis=0), axis=1).max() < 0.6
    assert np.linalg.norm(eyes[-1] - eyes[0]) > 4
