# SPDX-License-Identifier: Apache-2.0
"""Small pictures of a job at work, for whoever watches it: the frame at hand, with what was found in it.

The stages offer a :class:`Sketch` whenever they have a frame at hand; it costs nothing unless a picture is
due. :class:`LivePreview` draws it and writes it into the job folder, whole or not at all, always under the
same name. It holds itself back: at most one picture a second, and never more often than keeps drawing and
writing below 1 % of the time.

The pictures are PPM files (P6: a line of text, then RGB bytes), some 170 kB: the client inside Blender has
nothing that opens a JPEG without leaving it among the user's own images or in the system's thumbnails, while
these bytes are read with NumPy alone. Any picture viewer shows them too.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

FILE_NAME: Final = "preview.ppm"
LONGEST_SIDE: Final = 320  # pixels

INTERVAL: Final = 1.0
"""Seconds between two pictures at least."""

SHARE: Final = 0.01
"""Share of the time that pictures may take."""

_KEPT: Final = 48  # small pictures of frames that are remembered, for stages that have none at hand
_BOX: Final = (90, 200, 255)
_LINE: Final = (255, 170, 40)
_DOT: Final = (255, 255, 255)
_DARK: Final = 34  # grey behind a figure whose frame is not at hand


@dataclass(frozen=True)
class Sketch:
    """What there is to be seen at this moment.

    Attributes:
        frame: which frame of the clip.
        image_size: width and height of the footage, pixels.
        image: (height, width, 3) uint8 RGB; None where the stage does not read the footage.
        boxes: (N, 4) x0, y0, x1, y1 in pixels of the footage.
        lines: (M, 2, 2) ends of lines, likewise.
    """

    frame: int
    image_size: tuple[int, int]
    image: np.ndarray | None
    boxes: np.ndarray
    lines: np.ndarray


Sketcher = Callable[[Sequence[int]], Sketch | None]
"""Gives what is to be seen now, None for nothing. It is told of which frames, in order, a small picture is
remembered: a stage that does not read the footage sketches its figure best in one of those."""


class LivePreview:
    """Draws sketches and writes them, from time to time.

    Args:
        now: the clock, seconds.
    """

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._due = now()
        self._frames: dict[int, np.ndarray] = {}
        self.seconds = 0.0  # that drawing and writing have taken so far
        self.count = 0

    def offer(self, make: Sketcher, folder: Path) -> Path | None:
        """Write a picture if one is due.

        Args:
            make: gives what is to be seen, see :data:`Sketcher`; called only when a picture is due.
            folder: where the file goes.

        Returns:
            The file when it was written; None most of the time. A picture that cannot be written (a full
            disk, a file that somebody is reading on Windows) is left out: it is no part of the work.
        """
        began = self._now()
        if began < self._due:
            return None
        sketch = make(sorted(self._frames))
        path = None
        if sketch is not None:
            path = _write(folder / FILE_NAME, self._draw(sketch))
        ended = self._now()
        self.seconds += ended - began
        self.count += path is not None
        self._due = ended + max(INTERVAL, (ended - began) / SHARE)
        return path

    def _draw(self, sketch: Sketch) -> np.ndarray:
        """The picture, (h, w, 3) uint8 RGB."""
        import cv2

        width, height = sketch.image_size
        scale = min(1.0, LONGEST_SIDE / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if sketch.image is not None:
            picture = cv2.resize(sketch.image, size, interpolation=cv2.INTER_AREA)
            self._remember(sketch.frame, picture)
            picture = picture.copy()
        elif (known := self._frames.get(sketch.frame)) is not None and known.shape[1::-1] == size:
            picture = known // 2  # darker, so that the figure stands out
        else:
            picture = np.full((size[1], size[0], 3), _DARK, np.uint8)
        far = 4 * max(width, height)  # a point at infinity is none that can be drawn
        boxes = np.clip(np.nan_to_num(sketch.boxes), -far, far) * scale
        lines = np.clip(np.nan_to_num(sketch.lines), -far, far) * scale
        for x0, y0, x1, y1 in boxes.round().astype(int).tolist():
            cv2.rectangle(picture, (x0, y0), (x1, y1), _BOX, 1)
        for (x0, y0), (x1, y1) in lines.round().astype(int).tolist():
            cv2.line(picture, (x0, y0), (x1, y1), _LINE, 2, cv2.LINE_AA)
            cv2.circle(picture, (x1, y1), 1, _DOT, -1)
        return picture

    def _remember(self, frame: int, picture: np.ndarray) -> None:
        """Keep a frame's picture; of a long clip every second one is forgotten again and again."""
        if len(self._frames) >= _KEPT:
            for old in sorted(self._frames)[1::2]:
                del self._frames[old]
        self._frames[frame] = picture


def _write(path: Path, picture: np.ndarray) -> Path | None:
    """Write a PPM, whole or not at all; None when it cannot be done."""
    part = path.with_name(f".{path.name}.part")
    height, width = picture.shape[:2]
    try:
        part.write_bytes(b"P6 %d %d 255\n" % (width, height) + np.ascontiguousarray(picture).tobytes())
        part.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
        return None
    return path


def remove_picture(folder: Path) -> None:
    """Take the picture out of a job folder: nobody watches the job any more."""
    with contextlib.suppress(OSError):
        os.unlink(folder / FILE_NAME)  # noqa: PTH108 (as short as it can be at the end of a process)
