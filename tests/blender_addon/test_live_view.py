# SPDX-License-Identifier: GPL-3.0-or-later
"""live_view.py: the backend's small pictures become an icon, and nothing of them stays behind."""

from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from recover_motion import live_view

pytestmark = pytest.mark.bpy


@pytest.fixture(autouse=True)
def freed():
    yield
    live_view.free()
    assert not live_view.loaded()


def picture(height=6, width=8, seed=1):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def write(path, pixels):
    height, width = pixels.shape[:2]
    path.write_bytes(b"P6 %d %d 255\n" % (width, height) + pixels.tobytes())
    return path


def shown():
    """The icon's pixels (height, width, 4), 0 to 255, the top row first."""
    icon = live_view._collection["job"]
    width, height = icon.image_size
    flat = np.array(icon.image_pixels_float[:]).reshape(height, width, 4)
    return (flat[::-1] * 255.0).round().astype(int)


def test_a_picture_is_read_as_it_was_written(tmp_path):
    pixels = picture()
    np.testing.assert_array_equal(live_view.read_picture(write(tmp_path / "a.ppm", pixels)), pixels)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"P6 8 6 255\n" + bytes(8 * 6 * 3 - 1),  # cut short
        b"P6 8 6 255\n" + bytes(8 * 6 * 3 + 1),
        b"P5 8 6 255\n" + bytes(8 * 6),
        b"P6 8 six 255\n" + bytes(8 * 6 * 3),
        b"P6 -8 -6 255\n" + bytes(8 * 6 * 3),
        b"P6 8 6 65535\n" + bytes(8 * 6 * 3),
        b"\xff\xd8\xff\xe0 something else\n",
        b"P6 2000 2000 255\n" + bytes(2000 * 2000 * 3),  # no small picture
    ],
)
def test_what_is_no_such_picture_is_none(content, tmp_path):
    path = tmp_path / "a.ppm"
    path.write_bytes(content)
    assert live_view.read_picture(path) is None
    assert live_view.read_picture(tmp_path / "gone.ppm") is None


def test_the_icon_shows_the_last_picture_the_right_way_up(tmp_path):
    pixels = picture()
    job = SimpleNamespace(id="a", preview=("", 0))
    assert live_view.icon_of(job) == 0
    assert not live_view.loaded()
    job.preview = (str(write(tmp_path / "a.ppm", pixels)), 1)
    live_view.icon_of(job)
    np.testing.assert_array_equal(shown()[..., :3], pixels)
    assert (shown()[..., 3] == 255).all()
    other = picture(5, 9, seed=2)
    write(tmp_path / "a.ppm", other)
    live_view.icon_of(job)  # nobody has said that there is a new one
    np.testing.assert_array_equal(shown()[..., :3], pixels)
    job.preview = (job.preview[0], 2)
    live_view.icon_of(job)
    np.testing.assert_array_equal(shown()[..., :3], other)
    (tmp_path / "a.ppm").unlink()
    job.preview = (job.preview[0], 3)
    live_view.icon_of(job)  # it is gone: the last one stays
    np.testing.assert_array_equal(shown()[..., :3], other)


def test_a_job_does_not_show_the_picture_of_another(tmp_path):
    path = str(write(tmp_path / "a.ppm", picture()))
    live_view.icon_of(SimpleNamespace(id="a", preview=(path, 1)))
    (tmp_path / "a.ppm").unlink()
    assert live_view.icon_of(SimpleNamespace(id="b", preview=(path, 1))) == 0


def test_the_users_images_are_left_alone(tmp_path):
    images = len(bpy.data.images)
    for number in range(1, 4):
        path = str(write(tmp_path / "a.ppm", picture(seed=number)))
        live_view.icon_of(SimpleNamespace(id="a", preview=(path, number)))
    assert len(bpy.data.images) == images
