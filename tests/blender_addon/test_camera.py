# SPDX-License-Identifier: GPL-3.0-or-later
"""camera.py: points in the world land on the footage's pixels."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Vector
from recover_motion.camera import build_camera, set_resolution
from recover_motion.import_motion import import_motion
from recover_motion.motion_file import CameraTrack
from smpl_reference import level_camera, rotation, write_motion

pytestmark = pytest.mark.bpy

SIZES = [(1920, 1080), (720, 1280), (576, 576), (1279, 719)]


def random_track(seed: int, size: tuple[int, int], count: int = 1, aspect: float = 1.0) -> CameraTrack:
    random = np.random.default_rng(seed)
    focal = random.uniform(0.7, 2) * size[0]
    centre = random.uniform(0.3, 0.7, 2) * size
    matrices = np.tile(np.eye(4), (count, 1, 1))
    start, step = random.normal(0, 1, 3), random.normal(0, 0.003, 3)
    for i in range(count):
        matrices[i, :3, :3] = rotation(start) @ rotation(step * i)
        matrices[i, :3, 3] = random.normal(0, 3, 3) if i == 0 else matrices[0, :3, 3] + i * step
    intrinsics = np.array([[focal, 0, centre[0]], [0, focal * aspect, centre[1]], [0, 0, 1]])
    return CameraTrack(intrinsics, matrices, size)


def points_before(track: CameraTrack, seed: int) -> np.ndarray:
    """Points in the world that the first camera sees."""
    random = np.random.default_rng(seed)
    pixels = random.uniform(0.05, 0.95, (20, 2)) * track.image_size
    rays = np.concatenate([pixels, np.ones((20, 1))], axis=1) @ np.linalg.inv(track.intrinsics).T
    camera = rays * random.uniform(1, 8, (20, 1))
    return camera @ track.world_from_camera[0, :3, :3].T + track.world_from_camera[0, :3, 3]


def naive_pixels(track: CameraTrack, index: int, points: np.ndarray) -> np.ndarray:
    camera = np.linalg.inv(track.world_from_camera[index]) @ np.c_[points, np.ones(len(points))].T
    image = track.intrinsics @ camera[:3]
    return (image[:2] / image[2]).T


def in_picture(track: CameraTrack, index: int, points: np.ndarray) -> np.ndarray:
    """Those points that the camera sees in a frame."""
    pixels = naive_pixels(track, index, points)
    seen = points[((pixels > 0) & (pixels < track.image_size)).all(axis=1)]
    assert len(seen) > 2
    return seen


def blender_pixels(scene: bpy.types.Scene, camera: bpy.types.Object, points: np.ndarray) -> np.ndarray:
    """Pixels of the rendered picture, y down."""
    view = np.array([world_to_camera_view(scene, camera, Vector(point)) for point in points])
    size = np.array([scene.render.resolution_x, scene.render.resolution_y])
    return np.stack([view[:, 0], 1 - view[:, 1]], axis=1) * size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("aspect", [1.0, 0.75, 1.4])
def test_pixels_of_a_still_camera(scene, size, seed, aspect):
    track = random_track(seed, size, aspect=aspect)
    camera = build_camera("c", [(np.zeros(1), track)], 24, 1, scene.collection)
    set_resolution(scene.render, track)
    bpy.context.view_layer.update()
    assert camera.animation_data is None
    assert (scene.render.resolution_x, scene.render.resolution_y) == size
    points = points_before(track, seed)
    expected = naive_pixels(track, 0, points)
    assert np.abs(blender_pixels(scene, camera, points) - expected).max() < 0.5


@pytest.mark.parametrize("size", SIZES)
def test_in_a_scene_of_another_shape_the_picture_keeps_its_width(scene, size):
    """Nobody asked for the footage's resolution: what lies beside it differs, the match does not."""
    track = random_track(5, size)
    camera = build_camera("c", [(np.zeros(1), track)], 24, 1, scene.collection)
    scene.render.resolution_x, scene.render.resolution_y = 1000, 800
    bpy.context.view_layer.update()
    points = points_before(track, 5)
    from_centre = (naive_pixels(track, 0, points) - np.array(size) / 2) / size[0]
    found = (blender_pixels(scene, camera, points) - (500, 400)) / 1000
    assert np.abs(found - from_centre).max() * size[0] < 0.5


def test_pixels_of_a_moving_camera_at_another_rate(scene):
    track = random_track(11, (1920, 1080), count=60)
    times = np.arange(60) / 30
    camera = build_camera("c", [(times, track)], 15, 101, scene.collection)
    set_resolution(scene.render, track)
    points = points_before(track, 11)
    for index in (0, 2, 30, 58):
        scene.frame_set(101 + index // 2)
        seen = in_picture(track, index, points)
        assert np.abs(blender_pixels(scene, camera, seen) - naive_pixels(track, index, seen)).max() < 0.5


def test_one_camera_for_people_who_come_and_go(scene):
    """The first is seen in frames 0 to 39, the second in 20 to 59: together they tell all of it."""
    track = random_track(12, (1280, 720), count=60)
    times = np.arange(60) / 24
    seen = [slice(20, 60), slice(0, 40)]
    parts = [
        (times[s], CameraTrack(track.intrinsics, track.world_from_camera[s], track.image_size)) for s in seen
    ]
    camera = build_camera("c", parts, 24, 1, scene.collection)
    set_resolution(scene.render, track)
    points = points_before(track, 12)
    for index in (0, 19, 20, 39, 40, 59):
        scene.frame_set(1 + index)
        seen = in_picture(track, index, points)
        assert np.abs(blender_pixels(scene, camera, seen) - naive_pixels(track, index, seen)).max() < 0.5


def test_a_moving_camera_comes_in_with_the_motion(scene, synthetic_body_path, tmp_path):
    matrices = level_camera(5)
    matrices[:, 0, 3] = np.linspace(0, 1, 5)
    path = write_motion(tmp_path / "clip.person01.npz", world_from_camera=matrices)
    result = import_motion(bpy.context, [path], body_path=synthetic_body_path)
    assert result.camera is not None
    scene.frame_set(4)
    np.testing.assert_allclose(result.camera.matrix_world.translation, [0.75, -4, 1.4], atol=1e-6)
    forward = -result.camera.matrix_world.to_3x3().col[2]
    np.testing.assert_allclose(forward, [0, 1, 0], atol=1e-6)
