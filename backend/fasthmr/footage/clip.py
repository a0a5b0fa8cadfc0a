# SPDX-License-Identifier: Apache-2.0
"""Footage of any kind as one thing: facts about it, and its frames between two times."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

from fasthmr.errors import BadCall, BadInput
from fasthmr.footage.decode import VideoFile
from fasthmr.footage.images import ImageSequence, is_sequence
from fasthmr.footage.info import DEFAULT_FRAME_RATE, FootageInfo, Frame
from fasthmr.progress import Progress


class _Source(Protocol):
    """What a video file and an image sequence have in common."""

    @property
    def info(self) -> FootageInfo: ...

    @property
    def remarks(self) -> list[str]: ...

    def first_index_at(self, seconds: float) -> int: ...

    def frames(self, first: int, stop: int | None, warn: Callable[[str], None]) -> Iterator[Frame]: ...


class Footage:
    """A clip, or a part of it, to be iterated over as often as needed; each pass decodes anew.

    Made by :func:`open_footage`. Between passes no file is open.

    Attributes:
        info: facts about the whole clip.
        warnings: what was found damaged or odd so far; grows while frames are read.
    """

    def __init__(
        self, source: _Source, first: int, stop: int | None, progress: Progress | None = None
    ) -> None:
        self.info = source.info
        self.warnings: list[str] = []
        self._source = source
        self._first = first
        self._stop = stop
        self._progress = progress or Progress()
        self._running: list[Generator[Frame]] = []
        for remark in source.remarks:
            self._warn(remark)

    @property
    def expected_frames(self) -> int | None:
        """Frames between start and end if nothing is damaged; None when unknown."""
        stop = self.info.frame_count if self._stop is None else self._stop
        return max(0, stop - self._first) or None

    def __iter__(self) -> Iterator[Frame]:
        """Decode frame after frame.

        Raises:
            BadInput: a picture of another size, a file that vanished, or no frame at all.
        """
        frames = self._read()
        self._running.append(frames)
        return frames

    def close(self) -> None:
        """Stop every pass that is still running and close its file."""
        while self._running:
            self._running.pop().close()

    def __enter__(self) -> Footage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> Generator[Frame]:
        nothing = True
        for frame in self._source.frames(self._first, self._stop, self._warn):
            nothing = False
            yield frame
        if nothing:
            raise BadInput(
                f"No frame of {self.info.path} between the chosen start and end can be decoded: that part is "
                "damaged. Copy or export the footage again, or choose another part."
            )

    def _warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)
            self._progress.log(message)


def probe(path: str | Path, frame_rate: float = DEFAULT_FRAME_RATE) -> FootageInfo:
    """Facts about footage, from its packets and its first frame.

    Args:
        path: a video file, a folder of pictures, a pattern (``shot_%04d.png``, ``shot_####.png``,
            ``shot_*.png``) or one picture.
        frame_rate: frames per second of an image sequence; a video has its own.

    Raises:
        BadInput: it cannot be read; the message says which file, why, and what to do.
    """
    return _source(Path(path), frame_rate).info


def open_footage(
    path: str | Path,
    start: float | None = None,
    end: float | None = None,
    *,
    frame_rate: float = DEFAULT_FRAME_RATE,
    progress: Progress | None = None,
) -> Footage:
    """Open footage for reading.

    Args:
        path: as for :func:`probe`.
        start: seconds; frames shown at this time or later are read. None is the beginning.
        end: seconds; frames shown before this time are read. None is the end.
        frame_rate: frames per second of an image sequence; a video has its own.
        progress: warnings about damaged parts go to its log (and to ``Footage.warnings``).

    Raises:
        BadCall: start or end make no sense for this clip.
        BadInput: it cannot be read; the message says which file, why, and what to do.
    """
    for name, seconds in (("start", start), ("end", end)):
        if seconds is not None and not (math.isfinite(seconds) and seconds >= 0.0):
            raise BadCall(f"The {name} of {seconds} s is not possible. Give seconds from 0 on.")
    if start is not None and end is not None and end <= start:
        raise BadCall(f"The end ({end:g} s) must come after the start ({start:g} s).")
    source = _source(Path(path), frame_rate)
    first = 0 if start is None else source.first_index_at(start)
    stop = None if end is None else source.first_index_at(end)
    last = source.info.frame_count if stop is None else stop
    if first >= last:
        raise BadCall(
            f"No frame of {path} lies between {start or 0:g} s and "
            f"{'its end' if end is None else f'{end:g} s'}: "
            f"the clip lasts {source.info.duration:.3f} s at {source.info.frame_rate:g} frames a second."
        )
    return Footage(source, first, stop, progress)


def _source(path: Path, frame_rate: float) -> _Source:
    return ImageSequence(path, frame_rate) if is_sequence(path) else VideoFile(path)
