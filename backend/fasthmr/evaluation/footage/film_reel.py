# SPDX-License-Identifier: Apache-2.0
"""Rendered pictures to a video: the changing part laid on the background, coded as a camera would."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

from fasthmr.errors import BadInput
from fasthmr.files import written_whole

# The usual quality of the coder: what such footage goes through anyway.
_OPTIONS: Final = {"crf": "23", "preset": "medium"}


def pictures(folder: Path, count: int, boxes: np.ndarray | None) -> Iterator[np.ndarray]:
    """The whole picture of every frame.

    Args:
        folder: ``0000.png`` and so on, and ``background.png`` where there are boxes.
        count: number of frames.
        boxes: (T, 4) left, top, right, bottom of what a frame's file shows; None for all of it.

    Yields:
        (H, W, 3) uint8 RGB.

    Raises:
        BadInput: a file is missing or damaged, or not of the size of its box.
    """
    background = None if boxes is None else read_picture(folder / "background.png")
    for frame in range(count):
        path = folder / f"{frame:04}.png"
        picture = read_picture(path)
        if background is None or boxes is None:
            yield picture
            continue
        left, top, right, bottom = (int(value) for value in boxes[frame])
        if picture.shape[:2] != (bottom - top, right - left):
            path.unlink()
            raise BadInput(
                f"{path} shows {picture.shape[1]} by {picture.shape[0]} pixels instead of {right - left} by "
                f"{bottom - top}. It was deleted; run the same again."
            )
        whole = background.copy()
        whole[top:bottom, left:right] = picture
        yield whole


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 RGB.

    Raises:
        BadInput: missing or damaged.
    """
    try:
        with av.open(str(path)) as file:
            return next(file.decode(video=0)).to_ndarray(format="rgb24")
    except (OSError, StopIteration, FFmpegError) as error:
        path.unlink(missing_ok=True)
        raise BadInput(
            f"The rendered picture {path} is missing or damaged ({error}). Run the same again."
        ) from error


def write_video(path: Path, frames: Iterator[np.ndarray], frame_rate: float) -> int:
    """Code frames as H.264 in MP4, whole or not at all.

    Args:
        path: the file.
        frames: (H, W, 3) uint8 RGB, even sides.
        frame_rate: frames per second, evenly spaced.

    Returns:
        The number of frames.

    Raises:
        BadInput: the place cannot be written to.
    """
    count = 0
    reformatter = VideoReformatter()
    with written_whole(path) as stream, av.open(stream, "w", format="mp4") as container:
        rate = Fraction(frame_rate).limit_denominator(1001)
        video = container.add_stream("libx264", rate=rate, options=dict(_OPTIONS))
        video.pix_fmt = "yuv420p"
        video.codec_context.colorspace, video.codec_context.color_range = 1, 1  # BT.709, limited
        for picture in frames:
            if count == 0:
                video.height, video.width = picture.shape[:2]
            frame = reformatter.reformat(
                av.VideoFrame.from_ndarray(picture, format="rgb24"),
                format="yuv420p",
                dst_colorspace=Colorspace.ITU709,
                dst_color_range=ColorRange.MPEG,
            )
            frame.pts, frame.time_base = count, 1 / rate
            container.mux(video.encode(frame))
            count += 1
        container.mux(video.encode(None))
    return count
