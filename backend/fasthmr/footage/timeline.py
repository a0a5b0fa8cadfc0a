# SPDX-License-Identifier: Apache-2.0
"""When each frame of a video file is shown, read from its packets without decoding a picture.

A header's frame count and rate are estimates, and for footage of variable rate they are wrong. One
pass over the packets (a fraction of the time that decoding takes) gives the presentation timestamp
(pts) of every frame. From then on a frame's index is the rank of its pts, wherever reading began, so
that seeking cannot shift it. A timeline keeps 8 bytes a frame.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

from fasthmr.footage.info import DEFAULT_FRAME_RATE

# A gap this much longer or shorter than the middle one makes the rate variable.
_RATE_TOLERANCE = 0.1


@dataclass(frozen=True)
class Timeline:
    """Presentation times of all frames.

    Attributes:
        ticks: (N,) int64, strictly increasing pts in units of ``tick``; empty where the file has no
            usable timestamps (then frames are counted, and read from the beginning).
        keyframes: (K,) int64, increasing pts at which decoding can begin.
        tick: seconds.
        frame_rate: average frames per second.
        variable_rate: whether gaps differ by more than rounding.
        frame_count: frames shown, known also where ``ticks`` is empty.
    """

    ticks: np.ndarray
    keyframes: np.ndarray
    tick: Fraction
    frame_rate: float
    variable_rate: bool
    frame_count: int

    @property
    def has_times(self) -> bool:
        """Whether frames have timestamps of their own."""
        return len(self.ticks) > 0

    @property
    def duration(self) -> float:
        """Seconds from the first frame to the end of the last one, which is shown for the average gap."""
        if not self.has_times:
            return self.frame_count / self.frame_rate
        return float((self.ticks[-1] - self.ticks[0]) * self.tick) + 1.0 / self.frame_rate

    def time_of(self, index: int) -> float:
        """Seconds from the first frame to frame ``index``."""
        if not self.has_times:
            return index / self.frame_rate
        return float(int(self.ticks[index] - self.ticks[0]) * self.tick)

    def index_of(self, pts: int) -> int:
        """Index of the frame whose timestamp is nearest to ``pts`` (ticks)."""
        after = int(np.searchsorted(self.ticks, pts))
        if after == 0:
            return 0
        if after == len(self.ticks):
            return after - 1
        return after if self.ticks[after] - pts <= pts - self.ticks[after - 1] else after - 1

    def first_index_at(self, seconds: float) -> int:
        """Index of the first frame shown at ``seconds`` or later (the frame count when there is none).

        Times are compared to half a tick, so that 1/30 s finds frame 1 of a Matroska file, which
        stores it as 33 ms.
        """
        if not self.has_times:
            return max(0, int(np.ceil(seconds * self.frame_rate - 1e-3)))
        target = seconds / float(self.tick) + float(self.ticks[0])
        return int(np.searchsorted(self.ticks, target - 0.5))


def read_timeline(container: InputContainer, stream: VideoStream) -> Timeline:
    """Read every packet of a stream, without decoding, and note when its frame is shown.

    Packets before the first keyframe, packets that an edit list hides and the invisible reference
    frames of VP8 show nothing and are left out.

    Args:
        container: opened for reading, at its beginning; stands at its end afterwards.
        stream: the video stream.
    """
    shown, keyframes = array("q"), array("q")
    count = before_keyframe = 0
    began = False
    vp8 = stream.codec_context.name == "vp8"
    try:
        for packet in container.demux(stream):
            if packet.size == 0:  # PyAV's mark for the end of the stream
                continue
            if packet.is_keyframe and not began:
                began, before_keyframe = True, count
            if packet.is_discard or (vp8 and not memoryview(packet)[0] & 0x10):
                continue
            count += 1
            if packet.pts is not None:
                shown.append(packet.pts)
                if packet.is_keyframe:
                    keyframes.append(packet.pts)
    except FFmpegError:
        pass  # a damaged end; what came before it is the clip

    tick = stream.time_base or Fraction(1, 1000)
    ticks = np.unique(np.asarray(shown, dtype=np.int64))
    if len(ticks) != count:  # some without a time, or two with the same: frames can only be counted
        ticks = ticks[:0]
    else:
        ticks = np.sort(np.asarray(shown, dtype=np.int64)[before_keyframe:])
        count = len(ticks)
    rate, variable = _rate(ticks, tick, stream)
    return Timeline(ticks, np.unique(np.asarray(keyframes, np.int64)), tick, rate, variable, count)


def _rate(ticks: np.ndarray, tick: Fraction, stream: VideoStream) -> tuple[float, bool]:
    """Average rate, and whether it varies."""
    nominal = float(stream.guessed_rate or stream.average_rate or 0) or DEFAULT_FRAME_RATE
    if len(ticks) < 2:
        return nominal, False
    gaps = np.diff(ticks)
    middle = float(np.median(gaps))
    # Times are rounded to ticks: gaps of 33 and 34 ms are a steady 30 frames a second.
    variable = bool(np.any(np.abs(gaps - middle) > max(_RATE_TOLERANCE * middle, 1.01)))
    span = int(ticks[-1] - ticks[0])
    measured = (len(ticks) - 1) / float(span * tick)
    # The header's exact fraction (30000/1001) is better than a measurement, if the two agree up to rounding.
    agree = abs(nominal - measured) <= measured * max(5e-4, 1.01 / span)
    return (nominal if agree and not variable else measured), variable
