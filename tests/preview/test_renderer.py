# SPDX-License-Identifier: Apache-2.0
"""The graphics card's pictures against a naive rasteriser and against projected joints."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fasthmr.preview.figures import Figure
from fasthmr.preview.renderer import BACKGROUND, Renderer
from fasthmr.preview.view import SideCamera, pinhole_view

SIZE = (96, 64)
INTRINSICS = np.array([[80.0, 0.0, 48.0], [0.0, 80.0, 32.0], [0.0, 0.0, 1.0]])
LOOKING = np.eye(4)  # the camera's axes are the world's


def naive_coverage(corners: np.ndarray, samples: int = 8) -> np.ndarray:
    """Share of each pixel inside a triangle, by trying points. corners: (3, 2) pixels."""
    width, height = SIZE
    steps = (np.arange(samples) + 0.5) / samples
    x = (np.arange(width)[:, None] + steps).ravel()
    y = (np.arange(height)[:, None] + steps).ravel()
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    sides = []
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        along, to = b - a, grid - a
        sides.append(along[0] * to[..., 1] - along[1] * to[..., 0])
    inside = (np.min(sides, axis=0) >= 0) | (np.max(sides, axis=0) <= 0)
    return inside.reshape(height, samples, width, samples).mean(axis=(1, 3))


def meshes_of(points: np.ndarray, colours) -> list:
    """One figure for each triangle, its normals towards the camera."""
    normals = np.tile([0.0, 0.0, -1.0], (3, 1))
    return [
        (np.concatenate([triangle, normals], axis=1).astype(np.float32), colour)
        for triangle, colour in zip(points, colours, strict=True)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_triangles_cover_the_pixels_that_a_naive_rasteriser_finds(gl, seed):
    rng = np.random.default_rng(seed)
    triangles = np.stack(
        [
            rng.uniform(-1.2, 1.2, (3, 3)),
            rng.uniform(-0.8, 0.8, (3, 3)),
            np.array([[2.0], [3.0], [4.0]]) + np.zeros(3),
        ],
        axis=-1,
    )  # three triangles, each at a depth of its own
    for triangle in triangles:  # counter-clockwise for the camera, whose y points down
        if np.linalg.det(triangle[1:, :2] - triangle[0, :2]) > 0:
            triangle[[1, 2]] = triangle[[2, 1]]
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    view = pinhole_view(INTRINSICS, LOOKING, SIZE, SIZE)
    with Renderer(np.array([[0, 1, 2]]), 3, 3, gl) as renderer:
        renderer.show(meshes_of(triangles, colours))
        picture = renderer.figures([view] * 3)
    flat = triangles @ INTRINSICS.T
    coverage = [naive_coverage(points[:, :2] / points[:, 2:]) for points in flat]
    total = 1 - np.prod([1 - part for part in coverage], axis=0)
    alpha = picture[..., 3] / 255
    certain = (total == 0) | (np.max(coverage, axis=0) == 1)
    np.testing.assert_array_equal(alpha[certain], total[certain] > 0)
    # At edges four samples a pixel stand for the area: right on average, rough for one pixel.
    edges = ~certain
    assert np.abs(alpha - total)[edges].mean() < 0.15
    assert abs((alpha - total)[edges].mean()) < 0.05
    seen = np.zeros(SIZE[::-1], bool)
    for channel, part in enumerate(coverage):  # from near to far: the nearest one's colour shows
        whole = (part == 1) & ~seen
        if whole.any():
            assert (picture[whole].argmax(axis=-1)[picture[whole][:, channel] > 0] != (channel + 1) % 3).all()
            assert (picture[whole][:, channel] > 100).all()
            assert (np.delete(picture[whole][:, :3], channel, axis=1) == 0).all()
        seen |= part > 0
        seen[part > 0] = True


def test_projected_joints_lie_on_the_silhouette(gl, body, make_walk):
    size = (320, 240)
    motion = make_walk(size, 20)
    figure = Figure(motion, body)
    with Renderer(body.faces.numpy(), len(body.v_template), 1, gl) as renderer:
        for row in (0, 7, 15, 16, 19):
            renderer.show([(figure.mesh(row), (200, 200, 200))])
            view = pinhole_view(motion.camera_intrinsics, motion.world_from_camera[row], size, size)
            mask = renderer.figures([view])[..., 3] > 0
            pixels = motion.joints_camera[row] @ motion.camera_intrinsics.T
            pixels = pixels[:, :2] / pixels[:, 2:]
            away = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            for x, y in pixels:
                assert away[int(y), int(x)] <= 1.0
            # and the silhouette is no larger than the figure: its box is the box of the vertices
            in_camera = (figure.mesh(row)[:, :3] - view.eye) @ motion.world_from_camera[row, :3, :3]
            vertices = in_camera @ motion.camera_intrinsics.T
            vertices = vertices[:, :2] / vertices[:, 2:]
            x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
            np.testing.assert_allclose((x, y), vertices.min(axis=0), atol=1.5)
            np.testing.assert_allclose((x + width, y + height), vertices.max(axis=0), atol=1.5)


def test_the_scene_has_floor_shadow_and_figure(gl, body, make_walk):
    size = (240, 240)
    figure = Figure(make_walk((320, 240), 4), body)
    camera = SideCamera(*figure.bounds(), 25.0, size)
    view = camera.view(0)
    with Renderer(body.faces.numpy(), len(body.v_template), 1, gl) as renderer:
        renderer.show([])
        empty = renderer.scene(view, camera.target(0))
        renderer.show([(figure.mesh(0), (255, 0, 0))])
        picture = renderer.scene(view, camera.target(0))
        mask = renderer.figures([view])[..., 3]
    np.testing.assert_array_equal(empty[0], np.tile(BACKGROUND, (240, 1)))  # above the horizon: nothing
    assert empty[200].max() > 90  # below: lines of the grid
    changed = (picture != empty).any(axis=-1)
    shadow = changed & (mask == 0)
    assert (picture[mask == 255][:, 0].astype(int) > picture[mask == 255][:, 1] + 40).mean() > 0.99
    assert shadow.sum() > 20
    assert np.flatnonzero(shadow.any(axis=1)).min() > 120  # on the floor: the lower half of a level view
    assert (picture[shadow].mean(axis=-1) <= empty[shadow].mean(axis=-1)).mean() > 0.9


def test_lighting_shows_the_form(gl):
    view = pinhole_view(INTRINSICS, LOOKING, SIZE, SIZE)
    square = np.array([[-0.5, -0.4, 2], [0.5, -0.4, 2], [0.5, 0.4, 2], [-0.5, 0.4, 2.0]])
    brightness = []
    for tilt in (0.0, 0.6, 1.2):
        normals = np.tile([np.sin(tilt), 0.0, -np.cos(tilt)], (4, 1))
        with Renderer(np.array([[0, 2, 1], [0, 3, 2]]), 4, 1, gl) as renderer:
            renderer.show([(np.concatenate([square, normals], axis=1), (200, 200, 200))])
            brightness.append(int(renderer.figures([view])[32, 48, 0]))
    assert brightness[0] > brightness[1] + 10 > brightness[2] + 30


def test_only_the_outside_of_a_body_is_drawn(gl):
    view = pinhole_view(INTRINSICS, LOOKING, SIZE, SIZE)
    outside = np.array([[-0.5, -0.4, 2.0], [-0.5, 0.4, 2.0], [0.5, 0.4, 2.0]])
    with Renderer(np.array([[0, 1, 2]]), 3, 1, gl) as renderer:
        renderer.show(meshes_of(outside[None], [(200, 200, 200)]))
        assert renderer.figures([view]).any()
        renderer.show(meshes_of(outside[None, ::-1], [(200, 200, 200)]))
        assert not renderer.figures([view]).any()
