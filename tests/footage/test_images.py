# SPDX-License-Identifier: Apache-2.0
"""Image sequences by folder, by pattern and one by one."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest

from fasthmr.errors import BadCall, BadInput
from fasthmr.footage import open_footage, probe


@pytest.mark.parametrize(
    "pattern", ["", "shot_%04d.png", "shot_####.png", "shot_*.png", "shot_%d.png", "shot_00??.png"]
)
def test_a_folder_and_every_pattern_give_all_pictures_in_order(make, pattern):
    make.images(make.folder / "seq", 12)
    (make.folder / "seq" / "notes.txt").write_text("not a picture")
    (make.folder / "seq" / "._shot_0001.png").write_bytes(b"left by another system")
    path = make.folder / "seq" / pattern if pattern else make.folder / "seq"
    info = probe(path)
    assert (info.kind, info.width, info.height, info.frame_count) == ("images", 96, 64, 12)
    assert (info.frame_rate, info.variable_rate, info.duration) == (24.0, False, 0.5)
    footage = open_footage(path)
    frames = list(footage)
    assert (
        [make.stamp_of(frame.image) for frame in frames]
        == [frame.index for frame in frames]
        == list(range(12))
    )
    np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 24)
    assert not footage.warnings


def test_numbers_count_as_numbers(make):
    make.images(make.folder / "seq", 12, name="{}.png", first=1)  # 1.png ... 12.png
    frames = list(open_footage(make.folder / "seq"))
    assert [make.stamp_of(frame.image) for frame in frames] == list(range(12))


def test_a_pattern_takes_only_its_own_shot(make):
    make.images(make.folder, 5, name="a_{:03d}.png")
    make.images(make.folder, 7, name="b_{:03d}.png")
    make.images(make.folder, 1, name="a_{:03d}_mask.png")
    assert probe(make.folder / "a_###.png").frame_count == 5
    assert probe(make.folder / "b_%03d.png").frame_count == 7


def test_the_frame_rate_can_be_given_and_a_part_keeps_its_indices(make):
    make.images(make.folder / "seq", 20)
    footage = open_footage(make.folder / "seq", 0.5, 1.0, frame_rate=10)
    assert footage.expected_frames == 5
    frames = list(footage)
    assert [frame.index for frame in frames] == [5, 6, 7, 8, 9]
    assert [make.stamp_of(frame.image) for frame in frames] == [5, 6, 7, 8, 9]
    assert frames[0].time == pytest.approx(0.5)
    with pytest.raises(BadCall, match="frame rate"):
        probe(make.folder / "seq", frame_rate=0)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_grey_and_alpha_become_8_bit_rgb(make, suffix):
    grey16 = np.full((20, 30), 0x80FF, np.uint16)
    assert_flat(make.image(make.folder / f"grey16{suffix}", grey16), (128, 128, 128))
    assert_flat(make.image(make.folder / f"grey{suffix}", np.full((20, 30), 77, np.uint8)), (77, 77, 77))
    rgb16 = np.full((20, 30, 3), (0x10FF, 0x8000, 0xF000), np.uint16)
    assert_flat(make.image(make.folder / f"rgb16{suffix}", rgb16), (0x10, 0x80, 0xF0))
    bgra = np.full((20, 30, 4), (30, 60, 90, 0), np.uint8)  # fully transparent, and still read
    assert_flat(make.image(make.folder / f"alpha{suffix}", bgra), (90, 60, 30))


def assert_flat(path, rgb):
    frame = next(iter(open_footage(path)))
    assert frame.image.dtype == np.uint8
    np.testing.assert_allclose(frame.image.reshape(-1, 3), np.tile(rgb, (20 * 30, 1)), atol=1)


def test_one_picture_is_a_clip_of_one_frame(make):
    path = make.images(make.folder, 3)[1]
    info = probe(path)
    assert (info.kind, info.frame_count) == ("images", 1)
    assert [make.stamp_of(frame.image) for frame in open_footage(path)] == [1]


def test_names_beyond_ascii_and_with_pattern_signs(make):
    make.images(make.folder / "Aufnahme ß 撮影", 3, name="Täke 二_{:04d}.png")
    frames = list(open_footage(make.folder / "Aufnahme ß 撮影" / "Täke 二_####.png"))
    assert [make.stamp_of(frame.image) for frame in frames] == [0, 1, 2]
    video = make.video("take #2 100%d: final?*.mkv", 3)  # an existing file is itself, not a pattern
    assert probe(video).kind == "video"
    assert [make.stamp_of(frame.image) for frame in open_footage(video)] == [0, 1, 2]


def test_a_damaged_picture_leaves_a_gap_and_a_warning(make):
    paths = make.images(make.folder / "seq", 8)
    paths[3].write_bytes(paths[3].read_bytes()[:60])
    paths[5].write_bytes(b"")
    footage = open_footage(make.folder / "seq")
    assert [frame.index for frame in footage] == [0, 1, 2, 4, 6, 7]
    assert len(footage.warnings) == 2
    assert str(paths[3]) in footage.warnings[0]


def test_a_damaged_first_picture_does_not_hide_the_others(make):
    paths = make.images(make.folder / "seq", 4)
    paths[0].write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    assert probe(make.folder / "seq").frame_count == 4
    assert [frame.index for frame in open_footage(make.folder / "seq")] == [1, 2, 3]


def test_pictures_of_different_sizes_are_refused_by_name(make):
    paths = make.images(make.folder / "seq", 4)
    make.image(paths[2], make.stamped(2, 80, 60))
    read = []
    with pytest.raises(BadInput, match="80x60 pixels") as refused:
        read.extend(frame.index for frame in open_footage(make.folder / "seq"))
    assert read == [0, 1]
    assert str(paths[2]) in str(refused.value)
    assert paths[0].name in str(refused.value)


def test_missing_numbers_are_told(make):
    paths = make.images(make.folder / "seq", 8)
    paths[4].unlink()
    footage = open_footage(make.folder / "seq")
    assert [frame.index for frame in footage] == list(range(7))
    assert "from shot_0004.png to shot_0006.png" in footage.warnings[0]


def test_a_folder_without_pictures(make):
    (make.folder / "seq").mkdir()
    with pytest.raises(BadInput, match="holds no pictures"):
        probe(make.folder / "seq")
    make.video("seq/clip.mp4", 2)
    with pytest.raises(BadInput, match=r"It holds clip\.mp4"):
        probe(make.folder / "seq")


def test_a_pattern_that_fits_nothing(make):
    make.images(make.folder, 2)
    with pytest.raises(BadInput, match=r"fits the pattern shot_#####\.png"):
        probe(make.folder / "shot_#####.png")
    with pytest.raises(BadInput, match="There is no footage"):
        probe(make.folder / "nowhere" / "shot_####.png")


def test_pictures_that_are_none(make):
    for index in range(3):
        (make.folder / f"shot_{index}.png").write_text("no picture")
    with pytest.raises(BadInput, match="None of the 3 pictures"):
        probe(make.folder)
    with pytest.raises(BadInput, match="damaged or not a picture"):
        probe(make.folder / "shot_1.png")


@pytest.mark.parametrize(("orientation", "clockwise"), [(1, 0), (3, 180), (6, 90), (8, 270)])
def test_exif_turns_the_picture_and_tells_the_focal_length(make, orientation, clockwise):
    stored = make.stamped(0b01101001)
    _, coded = cv2.imencode(".jpg", stored)
    path = make.folder / "photo.jpg"
    path.write_bytes(with_exif(coded.tobytes(), orientation, focal_35mm=28))
    info = probe(path)
    image = next(iter(open_footage(path))).image
    upright = np.rot90(stored, -clockwise // 90)
    assert (info.width, info.height) == (upright.shape[1], upright.shape[0])
    assert info.rotation == clockwise
    assert info.focal_35mm == 28.0
    assert np.abs(image.astype(int) - upright).mean() < 6


def with_exif(jpeg: bytes, orientation: int, focal_35mm: int) -> bytes:
    """Insert an EXIF block of two tags: Orientation and FocalLengthIn35mmFilm."""
    main = struct.pack("<HHHIHHHHIII", 2, 0x0112, 3, 1, orientation, 0, 0x8769, 4, 1, 38, 0)
    sub = struct.pack("<HHHIHHI", 1, 0xA405, 3, 1, focal_35mm, 0, 0)
    block = b"Exif\0\0II*\0" + struct.pack("<I", 8) + main + sub
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]
