# SPDX-License-Identifier: Apache-2.0
"""Writing the preview's video: H.264 in MP4, each frame at its own time."""

from __future__ import annotations

from fractions import Fraction
from types import TracebackType
from typing import IO, Final

import av
import numpy as np
from av.codec import codecs_available
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter

# H.264 plays everywhere; MPEG-4 part 2 is what every build of FFmpeg has.
_ENCODERS: Final = ("libx264", "mpeg4")
_OPTIONS: Final = {"libx264": {"crf": "21", "preset": "veryfast"}, "mpeg4": {"b": "8M"}}
_TICK: Final = Fraction(1, 60_000)  # exact for all usual rates; MPEG-4 part 2 has no ticks below 1/65535 s
_BT709_CODE: Final = 1
_LIMITED_RANGE_CODE: Final = 1


class _Output:
    """A file for FFmpeg to write into, which keeps the reason why writing failed.

    An exception inside FFmpeg's callback would lose its kind, and some versions of PyAV crash on it; so
    FFmpeg is told that all is well, and the writer looks here afterwards.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell
        self.failure: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.failure is None:
            try:
                self._stream.write(data)
            except OSError as error:
                self.failure = error
        return len(data)

    def check(self) -> None:
        """Raise what went wrong since the beginning, if anything."""
        if self.failure is not None:
            raise self.failure


class VideoWriter:
    """Codes RGB frames into an open file; a context manager that finishes the file.

    Its methods raise OSError where the file cannot be written, as on a full disk.

    Args:
        stream: where the MP4 goes; must be seekable.
        size: width and height, both even.
        frame_rate: average frames per second, for the header.
    """

    def __init__(self, stream: IO[bytes], size: tuple[int, int], frame_rate: float) -> None:
        self.encoder = next(name for name in _ENCODERS if name in codecs_available)
        self._output = _Output(stream)
        self._container = av.open(self._output, "w", format="mp4")
        rate = Fraction(frame_rate).limit_denominator(1001)
        video = self._container.add_stream(self.encoder, rate=rate, options=dict(_OPTIONS[self.encoder]))
        if not isinstance(video, av.VideoStream):
            raise TypeError(f"{self.encoder} is not a video encoder")
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = _TICK
        video.codec_context.colorspace = _BT709_CODE
        video.codec_context.color_range = _LIMITED_RANGE_CODE
        self._video = video
        self._reformatter = VideoReformatter()
        self._last = -1

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._encode(None)
        finally:
            self._container.close()
        if kind is None:
            self._output.check()

    def write(self, image: np.ndarray, time: float) -> None:
        """Add a frame.

        Args:
            image: (H, W, 3) uint8 RGB.
            time: seconds since the first frame; later than the frame before.
        """
        frame = self._reformatter.reformat(
            av.VideoFrame.from_ndarray(image, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        self._last = max(self._last + 1, round(time / _TICK))
        frame.pts, frame.time_base = self._last, _TICK
        self._encode(frame)

    def _encode(self, frame: av.VideoFrame | None) -> None:
        """Code a frame, or what is left at the end."""
        self._container.mux(self._video.encode(frame))
        self._output.check()
