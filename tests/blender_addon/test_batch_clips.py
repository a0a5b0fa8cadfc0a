# SPDX-License-Identifier: GPL-3.0-or-later
"""Which clips a folder holds, and how a changed one is told."""

import os
from pathlib import Path

import pytest
from recover_motion.batch_clips import clips_in, fingerprint, twice


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_videos_and_folders_of_images_are_the_clips_in_the_order_of_their_numbers(tmp_path):
    touch(
        *(tmp_path / name for name in ("take10.MP4", "take2.mov", "Alps.mkv", "beach.webm")),
        tmp_path / "take3" / "0001.PNG",
        *(tmp_path / name for name in ("notes.txt", ".hidden.mp4", "still.png", "take2.preview.mp4")),
        tmp_path / "empty" / "readme.txt",
        tmp_path / "take2.job" / "thumbnail.png",
        tmp_path / "deep" / "below" / "inside.mp4",
        tmp_path / "out" / "picture.png",
        tmp_path / ".cache" / "1.png",
    )
    (tmp_path / "folder.mp4").mkdir()
    names = [path.name for path in clips_in(tmp_path, without=tmp_path / "out")]
    assert names == ["Alps.mkv", "beach.webm", "take2.mov", "take3", "take10.MP4"]
    assert "out" in [path.name for path in clips_in(tmp_path)]


def test_the_order_does_not_depend_on_the_file_system(tmp_path):
    names = ["b.mp4", "B.mov", "a2b.mp4", "a2.mp4", "a02.mp4", "2.mp4", "ä.mp4"]
    touch(*(tmp_path / name for name in names))
    first = [path.name for path in clips_in(tmp_path)]
    assert sorted(first) == sorted(names)
    assert first[0] == "2.mp4"
    assert first[-3:] == ["B.mov", "b.mp4", "ä.mp4"]


def test_a_folder_that_is_none(tmp_path):
    touch(tmp_path / "file.mp4")
    with pytest.raises(NotADirectoryError):
        clips_in(tmp_path / "file.mp4")
    with pytest.raises(FileNotFoundError):
        clips_in(tmp_path / "gone")


def test_names_that_would_overwrite_one_another():
    assert twice(["walk", "run", "Walk"]) == "Walk"
    assert twice(["walk", "run"]) == ""
    assert twice([]) == ""


def test_a_changed_file_has_another_fingerprint(tmp_path):
    clip = tmp_path / "walk.mp4"
    touch(clip)
    before = fingerprint(clip)
    assert fingerprint(clip) == before
    os.utime(clip, (1, 1))
    assert fingerprint(clip) != before
    touched = fingerprint(clip)
    clip.write_bytes(b"longer")
    os.utime(clip, (1, 1))
    assert fingerprint(clip) != touched
    clip.unlink()
    assert fingerprint(clip)[1] == []
    assert fingerprint(tmp_path / "gone" / "walk.mp4")[1] == []


@pytest.mark.parametrize("footage", ["shots", "shots/shot_####.png"])
def test_images_that_are_added_or_changed_are_told(tmp_path, footage):
    touch(*(tmp_path / "shots" / f"shot_{number:04}.png" for number in range(3)))
    before = fingerprint(tmp_path / footage)
    assert fingerprint(tmp_path / footage) == before
    touch(tmp_path / "shots" / "shot_0003.png")
    assert fingerprint(tmp_path / footage) != before
