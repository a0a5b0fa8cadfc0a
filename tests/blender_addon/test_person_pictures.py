# SPDX-License-Identifier: GPL-3.0-or-later
"""person_pictures.py: nobody's old picture is shown, and none is left in memory."""

import os
from pathlib import Path

import bpy
import pytest
from recover_motion import person_pictures

pytestmark = pytest.mark.bpy


@pytest.fixture
def picture(tmp_path):
    def write(name, width=8, second=0):
        image = bpy.data.images.new("i", width, 8)
        image.file_format = "PNG"
        image.filepath_raw = str(tmp_path / name)
        image.save()
        bpy.data.images.remove(image)
        os.utime(tmp_path / name, (1000 + second, 1000 + second))
        return str(tmp_path / name)

    yield write
    person_pictures.unregister()
    assert person_pictures.loaded() == 0


def width_of(path):
    """Of the picture that is shown for a path now: the one that was loaded last for it."""
    person_pictures.icon_of(path)
    names = [name for name in person_pictures._pictures if name.startswith(path)]
    written = Path(path).stat()
    now = [name for name in names if name.endswith(f"|{written.st_mtime_ns}|{written.st_size}")]
    assert len(now) == 1
    return person_pictures._pictures[now[0]].image_size[0]


def test_each_picture_is_read_once(picture):
    one, other = picture("person01.png"), picture("person02.png")
    for _ in range(3):
        person_pictures.icon_of(one)
        person_pictures.icon_of(other)
    assert person_pictures.loaded() == 2


def test_a_picture_that_is_written_anew_is_another(picture):
    path = picture("person01.png", width=8)
    assert width_of(path) == 8
    picture("person01.png", width=24, second=1)
    assert width_of(path) == 24


def test_no_picture_is_no_error(picture, tmp_path):
    assert person_pictures.icon_of("") == 0
    assert person_pictures.icon_of(str(tmp_path / "gone.png")) == 0
    assert person_pictures.loaded() == 0


def test_memory_is_bounded(picture, monkeypatch):
    monkeypatch.setattr(person_pictures, "_MOST", 3)
    for number in range(7):
        person_pictures.icon_of(picture(f"person{number:02d}.png"))
        assert 1 <= person_pictures.loaded() <= 3
