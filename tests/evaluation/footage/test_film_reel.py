# SPDX-License-Identifier: Apache-2.0
"""Pictures come back from the video, boxes lie where they belong, damaged files are made again."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from fasthmr.errors import BadInput
from fasthmr.evaluation.footage.film_reel import pictures, read_picture, write_video


def save(path: Path, picture: np.ndarray) -> None:
    cv2.imwrite(str(path), picture[..., ::-1])


def gradient(width: int, height: int, shade: int) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns * 200 // width, rows * 200 // height, np.full_like(rows, shade)], -1).astype(
        np.uint8
    )


def test_box_is_laid_on_the_background(tmp_path: Path) -> None:
    background = gradient(64, 48, 10)
    save(tmp_path / "background.png", background)
    boxes = np.array([[4, 6, 20, 30], [44, 20, 64, 48]])
    for frame, (left, top, right, bottom) in enumerate(boxes):
        save(tmp_path / f"{frame:04}.png", np.full((bottom - top, right - left, 3), 100 + frame, np.uint8))
    for frame, whole in enumerate(pictures(tmp_path, 2, boxes)):
        expected = background.copy()
        left, top, right, bottom = boxes[frame]
        expected[top:bottom, left:right] = 100 + frame
        np.testing.assert_array_equal(whole, expected)


def test_damaged_picture_is_deleted_and_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"0000\.png.*missing"):
        list(pictures(tmp_path, 1, None))
    save(tmp_path / "0000.png", gradient(16, 16, 0))
    (tmp_path / "0000.png").write_bytes((tmp_path / "0000.png").read_bytes()[:60])
    with pytest.raises(BadInput, match="Run the same again"):
        read_picture(tmp_path / "0000.png")
    assert not (tmp_path / "0000.png").exists()
    save(tmp_path / "background.png", gradient(64, 48, 10))
    save(tmp_path / "0000.png", gradient(16, 16, 0))
    with pytest.raises(BadInput, match="16 by 16 pixels instead of 10 by 16"):
        list(pictures(tmp_path, 1, np.array([[0, 0, 10, 16]])))
    assert not (tmp_path / "0000.png").exists()


def test_video_holds_every_frame_at_its_time_and_colour(tmp_path: Path) -> None:
    frames = [gradient(64, 48, 40 + 10 * number) for number in range(12)]
    path = tmp_path / "a.mp4"
    assert write_video(path, iter(frames), 30.0) == 12
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 30
        decoded = list(container.decode(stream))
    assert len(decoded) == 12
    for number, frame in enumerate(decoded):
        assert frame.time == pytest.approx(number / 30, abs=1e-4)
        picture = frame.to_ndarray(format="rgb24").astype(int)
        assert np.abs(picture - frames[number]).mean() < 6


def test_video_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield gradient(64, 48, 0)
        raise BadInput("no more")

    with pytest.raises(BadInput, match="no more"):
        write_video(tmp_path / "a.mp4", broken(), 30.0)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())
