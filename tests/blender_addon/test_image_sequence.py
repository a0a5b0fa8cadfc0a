# SPDX-License-Identifier: GPL-3.0-or-later
"""image_sequence.py: which pictures are meant, and in which order."""

from pathlib import Path

import bpy  # the module asks it for the endings of pictures
import pytest
from recover_motion import image_sequence
from recover_motion.image_sequence import is_picture, pattern_of, pictures_of

pytestmark = pytest.mark.bpy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("s_9.png", "s_10.png", "s_11.png", "s_100.png", ".s_12.png", "s_13.txt", "t_10.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "s_14.png").mkdir()
    image_sequence.forget()
    return tmp_path


@pytest.mark.parametrize(
    ("picture", "pattern"),
    [
        ("shot_0010.png", "shot_####.png"),
        ("0010.PNG", "####.PNG"),
        ("take2_v03_0001_left.tif", "take2_v03_####_left.tif"),
        ("shot.0001.exr", "shot.####.exr"),
        ("still.png", "still.png"),
        ("frame1.jpg2.jpg", "frame1.jpg#.jpg"),
        ("shot_####.png", "shot_####.png"),
        ("shot2_%04d.png", "shot2_%04d.png"),
    ],
)
def test_a_picture_stands_for_its_sequence(picture, pattern):
    assert pattern_of(Path("/a 1/b") / picture) == Path("/a 1/b") / pattern


def test_order_is_that_of_the_numbers_and_nothing_else_is_among_them(folder):
    assert pictures_of(folder / "s_#.png") == ["s_9.png", "s_10.png", "s_11.png", "s_100.png"]
    assert pictures_of(folder / "s_##.png") == ["s_10.png", "s_11.png", "s_100.png"]
    assert pictures_of(folder / "s_%03d.png") == ["s_100.png"]
    assert pictures_of(folder / "s_1*.png") == ["s_10.png", "s_11.png", "s_100.png"]
    assert pictures_of(folder / "s_1?.png") == ["s_10.png", "s_11.png"]
    assert pictures_of(folder) == ["s_9.png", "s_10.png", "s_11.png", "s_100.png", "t_10.jpg"]
    assert pictures_of(folder / "s_11.png") == ["s_11.png"]


def test_nothing_is_there(folder):
    assert pictures_of(folder / "gone") == []
    assert pictures_of(folder / "gone" / "x_##.png") == []
    assert pictures_of(folder / "x_##.png") == []


def test_a_listing_is_good_for_a_while(folder, monkeypatch):
    sequence = folder / "s_##.png"
    now = 1000.0
    monkeypatch.setattr(image_sequence.time, "monotonic", lambda: now)
    assert len(pictures_of(sequence)) == 3
    (folder / "s_12.png").touch()
    assert len(pictures_of(sequence)) == 3
    now += 3.5
    assert len(pictures_of(sequence)) == 4
    monkeypatch.setattr(image_sequence, "_list", lambda sequence: pytest.fail("the folder has not changed"))
    now += 3.5
    assert len(pictures_of(sequence)) == 4
    monkeypatch.undo()
    (folder / "s_13.png").touch()
    image_sequence.forget()
    assert len(pictures_of(sequence)) == 5


def test_pictures_are_known_by_their_ending():
    assert is_picture(Path("a/B.PNG"))
    assert is_picture(Path("b.jpeg"))
    assert not is_picture(Path("b.mp4"))
    assert not is_picture(Path("b"))
    assert ".png" in bpy.path.extensions_image
