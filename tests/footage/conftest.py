# SPDX-License-Identifier: Apache-2.0
"""Footage made in the test: every frame carries its own number, so that a wrong one is noticed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

_BITS = 8


def stamped(index: int, width: int = 96, height: int = 64) -> np.ndarray:
    """A grey RGB picture whose upper half shows ``index`` as eight black or white columns."""
    image = np.full((height, width, 3), 110, np.uint8)
    for bit in range(_BITS):
        columns = slice(bit * width // _BITS, (bit + 1) * width // _BITS)
        image[: height // 2, columns] = 235 if index >> bit & 1 else 20
    return image


def stamp_of(image: np.ndarray) -> int:
    """The number that :func:`stamped` drew, also after lossy coding."""
    height, width = image.shape[:2]
    columns = [int((bit + 0.5) * width / _BITS) for bit in range(_BITS)]
    return sum(1 << bit for bit, x in enumerate(columns) if image[height // 4, x].mean() > 128)


def write_video(
    path: Path,
    frames: Sequence[np.ndarray | av.VideoFrame],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: Fraction | int = 30,
    options: Mapping[str, str] | None = None,
    container_options: Mapping[str, str] | None = None,
    metadata: Mapping[str, str] | None = None,
    ticks: Sequence[int] | None = None,
    tick: Fraction | None = None,
    rotation: int | None = None,
    matrix: Sequence[int] | None = None,
    aspect: Fraction | None = None,
    colour: tuple[int, int] | None = None,
) -> Path:
    """Code frames into a file; ``ticks`` gives each a presentation time of its own, in units of ``tick``.

    ``rotation`` is FFmpeg's (degrees counterclockwise), ``colour`` the codec's (matrix, range).
    """
    with av.open(str(path), "w", options=dict(container_options or {})) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=rate, options=dict(options or {}))
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = (
            frames[0].shape[:2] if isinstance(frames[0], np.ndarray) else (frames[0].height, frames[0].width)
        )
        stream.pix_fmt = pixel_format
        if tick is not None:
            stream.codec_context.time_base = tick
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if colour is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = colour
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture) if isinstance(picture, np.ndarray) else picture
            if ticks is not None and tick is not None:
                frame.pts, frame.time_base = ticks[index], tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_images(folder: Path, count: int, name: str = "shot_{:04d}.png", first: int = 1) -> list[Path]:
    """Stamped pictures, numbered from ``first`` in their names and from 0 in their stamps."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name.format(first + index) for index in range(count)]
    for index, path in enumerate(paths):
        write_image(path, stamped(index))
    return paths


def write_image(path: Path, rgb: np.ndarray) -> Path:
    """Code one picture by the suffix of its name."""
    channels_reversed = rgb[..., ::-1] if rgb.ndim == 3 and rgb.shape[2] == 3 else rgb
    done, data = cv2.imencode(path.suffix, channels_reversed)
    assert done
    path.write_bytes(data.tobytes())
    return path


class Maker:
    """What tests make footage with, all of it in one folder."""

    stamped = staticmethod(stamped)
    stamp_of = staticmethod(stamp_of)
    image = staticmethod(write_image)
    images = staticmethod(write_images)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def video(
        self, name: str = "clip.mp4", frames: int | Sequence[np.ndarray | av.VideoFrame] = 12, **how
    ) -> Path:
        """Write a video of so many stamped frames, or of the given ones."""
        if isinstance(frames, int):
            frames = [stamped(index) for index in range(frames)]
        return write_video(self.folder / name, frames, **how)


@pytest.fixture
def make(tmp_path: Path) -> Maker:
    return Maker(tmp_path)
