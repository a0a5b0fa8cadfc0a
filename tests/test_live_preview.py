# SPDX-License-Identifier: Apache-2.0
"""Small pictures of the work: when they are made, what they show, and that they are whole."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fasthmr.live_preview import FILE_NAME, INTERVAL, SHARE, LivePreview, Sketch, remove_picture


class Clock:
    """The time, to be set by hand."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def a_sketch(frame: int = 0, image: np.ndarray | None = None, size: tuple[int, int] = (640, 360)) -> Sketch:
    return Sketch(frame, size, image, np.zeros((0, 4)), np.zeros((0, 2, 2)))


def read(path: Path) -> np.ndarray:
    head, _, pixels = path.read_bytes().partition(b"\n")
    magic, width, height, most = head.split()
    assert (magic, most) == (b"P6", b"255")
    return np.frombuffer(pixels, np.uint8).reshape(int(height), int(width), 3)


def test_at_most_one_picture_a_second(tmp_path: Path) -> None:
    clock = Clock()
    preview = LivePreview(clock)
    made = []
    for step in range(100):
        clock.now = 50.0 + step * 0.1
        if preview.offer(lambda _: a_sketch(), tmp_path):
            made.append(step)
    assert len(made) >= 9
    assert all(later - earlier >= round(INTERVAL / 0.1) for earlier, later in itertools.pairwise(made))


def test_dear_pictures_are_rarer_so_that_their_share_of_the_time_is_bounded(tmp_path: Path) -> None:
    clock = Clock()
    preview = LivePreview(clock)

    def dear(_: Sequence[int]) -> Sketch:
        clock.now += 0.3
        return a_sketch()

    began = clock.now
    while clock.now < began + 600.0:
        preview.offer(dear, tmp_path)
        clock.now += 0.05
    assert preview.count >= 10
    assert preview.seconds / (clock.now - began) <= SHARE * 1.1


def test_a_frame_is_made_small_with_its_boxes_and_lines(tmp_path: Path) -> None:
    image = np.zeros((360, 640, 3), np.uint8)
    image[:, 320:] = (0, 200, 0)
    boxes, lines = np.array([[100.0, 50, 200, 300]]), np.array([[[400.0, 100], [500, 300]]])
    path = LivePreview().offer(lambda _: Sketch(3, (640, 360), image, boxes, lines), tmp_path)
    assert path == tmp_path / FILE_NAME
    picture = read(path).astype(int)
    assert picture.shape == (180, 320, 3)
    assert picture[100, 50].tolist() == [90, 200, 255]  # the box's left side
    assert picture[10, 40].tolist() == [0, 0, 0]
    assert picture[10, 310].tolist() == [0, 200, 0]
    assert picture[100, 225, 0] > 150  # the line's middle is orange
    assert not [one for one in tmp_path.iterdir() if one.name != FILE_NAME]


@pytest.mark.parametrize("size", [(1080, 1920), (100, 50), (4000, 3)])
def test_pictures_of_any_shape(size: tuple[int, int], tmp_path: Path) -> None:
    image = np.full((size[1], size[0], 3), 70, np.uint8)
    path = LivePreview().offer(lambda _: a_sketch(0, image, size), tmp_path)
    assert path is not None
    height, width = read(path).shape[:2]
    assert max(height, width) == min(320, max(size))


def test_a_figure_without_its_frame_stands_on_a_remembered_one_or_on_grey(tmp_path: Path) -> None:
    clock = Clock()
    preview = LivePreview(clock)
    told: list[Sequence[int]] = []
    image = np.full((360, 640, 3), 200, np.uint8)
    preview.offer(lambda _: a_sketch(7, image), tmp_path)
    for frame, grey in ((7, 100), (8, 34)):
        clock.now += 5.0
        path = preview.offer(lambda known, frame=frame: told.append(known) or a_sketch(frame), tmp_path)
        assert path is not None
        assert (read(path) == grey).all()
    assert told == [[7], [7]]


def test_what_is_remembered_of_a_long_clip_does_not_grow(tmp_path: Path) -> None:
    clock = Clock()
    preview = LivePreview(clock)
    image = np.zeros((90, 160, 3), np.uint8)
    known: Sequence[int] = []

    def sketch(frames: Sequence[int]) -> Sketch:
        nonlocal known
        known = frames
        return a_sketch(int(clock.now), image, (160, 90))

    for _ in range(500):
        preview.offer(sketch, tmp_path)
        clock.now += 2.0
    assert 20 <= len(known) <= 48
    assert min(known) < 100  # the clip's beginning is still there
    assert max(known) > 1000


def test_points_at_infinity_and_nothing_at_all_are_drawn_all_the_same(tmp_path: Path) -> None:
    lines = np.array([[[np.nan, 0], [np.inf, -1e30]], [[1e9, 5], [3, 4]]])
    path = LivePreview().offer(
        lambda _: Sketch(0, (64, 48), None, np.array([[-np.inf, 0, 1e20, 5]]), lines), tmp_path
    )
    assert path is not None
    assert read(path).shape == (48, 64, 3)
    assert LivePreview().offer(lambda _: None, tmp_path / "nowhere") is None


def test_a_place_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    preview = LivePreview()
    assert preview.offer(lambda _: a_sketch(), tmp_path / "no" / "such") is None
    assert preview.count == 0
    remove_picture(tmp_path / "no" / "such")


def test_the_picture_goes(tmp_path: Path) -> None:
    LivePreview().offer(lambda _: a_sketch(), tmp_path)
    remove_picture(tmp_path)
    assert list(tmp_path.iterdir()) == []
