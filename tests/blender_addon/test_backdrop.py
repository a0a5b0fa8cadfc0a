# SPDX-License-Identifier: GPL-3.0-or-later
"""backdrop.py: the right picture of the footage at every scene frame."""

from pathlib import Path

import bpy
import numpy as np
import pytest
from recover_motion.array_file import ImportProblem
from recover_motion.backdrop import add_backdrop, first_file

pytestmark = pytest.mark.bpy


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """Two seconds of grey at 30 frames per second, uncompressed."""
    path = tmp_path / "movie.mp4"
    frames = [b"FRAME\n" + bytes([4 * i]) * (64 * 36) + bytes([128]) * (64 * 36 // 2) for i in range(60)]
    path.write_bytes(b"YUV4MPEG2 W64 H36 F30:1 Ip A1:1 C420jpeg\n" + b"".join(frames))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twelve pictures, numbered from 98 without leading zeros, with other things beside them."""
    folder = tmp_path / "shot"
    folder.mkdir()
    image = bpy.data.images.new("i", 32, 16)
    image.file_format = "PNG"
    for number in range(98, 110):
        image.filepath_raw = str(folder / f"f_{number}.png")
        image.save()
    bpy.data.images.remove(image)
    (folder / "f_1.txt").write_text("notes")
    (folder / ".f_2.png").write_text("hidden")
    return folder


def shown_frame(scene: bpy.types.Scene, clip: bpy.types.MovieClip, frame: int) -> int:
    """Number of the movie's frame, from 1, that Blender shows at a scene frame."""
    scene.frame_set(frame)
    return frame - clip.frame_start + 1


@pytest.mark.parametrize("fps", [30, 24, 60, 25])
@pytest.mark.parametrize("start", [1, -20, 1001])
def test_movie_in_step_with_the_scene(scene, movie, fps, start):
    scene.render.fps = fps
    camera = bpy.data.cameras.new("c")
    remarks = add_backdrop(camera, movie, (64, 36), 12.0, scene.render, start)
    assert remarks == []
    background = camera.background_images[0]
    assert camera.show_background_images
    assert background.source == "MOVIE_CLIP"
    assert (background.alpha, background.display_depth) == (1.0, "BACK")
    clip = background.clip
    assert Path(bpy.path.abspath(clip.filepath)) == movie
    for frame in range(start, start + 2 * fps):
        wanted = 1 + (frame - start) / fps * 30
        assert abs(shown_frame(scene, clip, frame) - wanted) <= 0.5 + 1e-3
    assert (clip.animation_data is None) == (fps == 30)


def test_ntsc_rates_that_are_the_same_need_no_retiming(scene, movie):
    movie.write_bytes(movie.read_bytes().replace(b"F30:1", b"F30000:1001"))
    scene.render.fps, scene.render.fps_base = 30, 1.001
    camera = bpy.data.cameras.new("c")
    add_backdrop(camera, movie, (64, 36), 30.0, scene.render, 1)
    assert camera.background_images[0].clip.animation_data is None


def test_pictures_take_the_motion_files_rate(scene, pictures):
    scene.render.fps = 24
    camera = bpy.data.cameras.new("c")
    assert add_backdrop(camera, pictures, (32, 16), 12.0, scene.render, 1) == []
    clip = camera.background_images[0].clip
    assert clip.source == "SEQUENCE"
    assert Path(clip.filepath).name == "f_98.png"
    assert clip.frame_duration == 12
    assert [shown_frame(scene, clip, frame) for frame in (1, 3, 5, 21)] == [1, 2, 3, 11]


@pytest.mark.parametrize("pattern", ["f_%d.png", "f_##.png", "f_*.png", "f_%02d.png", "f_?8.png", "*"])
def test_patterns(pictures, pattern):
    assert first_file(pictures / pattern).name == "f_98.png"


def test_nothing_there(pictures, tmp_path):
    (tmp_path / "bare").mkdir()
    for footage in ("gone.mp4", "shot/g_##.png", "nowhere/f_##.png", "bare"):
        with pytest.raises(ImportProblem, match="is not there"):
            first_file(tmp_path / footage)


def test_what_is_no_footage(scene, tmp_path):
    (tmp_path / "text.mp4").write_text("no movie")
    camera = bpy.data.cameras.new("c")
    with pytest.raises(ImportProblem, match=r"text\.mp4"):
        add_backdrop(camera, tmp_path / "text.mp4", (64, 36), 30.0, scene.render, 1)
    assert len(bpy.data.movieclips) == 0


def test_other_footage_is_remarked_on(scene, movie):
    camera = bpy.data.cameras.new("c")
    remarks = add_backdrop(camera, movie, (1920, 1080), 30.0, scene.render, 1)
    assert len(remarks) == 1
    assert "64x36" in remarks[0]


@pytest.mark.parametrize(("size", "method"), [((64, 36), "CROP"), ((36, 64), "CROP"), ((400, 100), "FIT")])
def test_the_picture_is_as_wide_as_the_cameras_frame(scene, movie, size, method):
    scene.render.resolution_x, scene.render.resolution_y = 1920, 1080
    camera = bpy.data.cameras.new("c")
    add_backdrop(camera, movie, size, 30.0, scene.render, 1)
    assert camera.background_images[0].frame_method == method


def test_remaining_frames_hold(scene, movie):
    """Beyond the movie's end the line goes on; Blender itself shows nothing there."""
    scene.render.fps = 60
    camera = bpy.data.cameras.new("c")
    add_backdrop(camera, movie, (64, 36), 30.0, scene.render, 1)
    clip = camera.background_images[0].clip
    assert np.abs(shown_frame(scene, clip, 1 + 240) - 121) <= 1
