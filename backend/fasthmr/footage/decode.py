# SPDX-License-Identifier: Apache-2.0
"""Video files, decoded by FFmpeg through PyAV, one frame in memory at a time.

What becomes of the peculiarities of real footage:

* *Variable rate*: every frame keeps its own time; nothing is resampled.
* *Rotation flag*: applied (:mod:`fasthmr.footage.orientation`).
* *Pixels that are not square*: stretched along the shorter direction of the pixel, because a pinhole
  camera has one focal length for both axes. Width and height in the info are those of the result.
* *Colour*: matrix and range as the file says; where it does not say, BT.709 from 720 lines on and
  BT.601 below, as players do. 10 bits become 8. HDR curves are left as they are (a flat picture, which
  detectors can live with). Alpha is dropped. Interlaced footage is not de-interlaced.
* *Damage*: parts that cannot be decoded are left out with a warning; frames after them keep their index.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream

from fasthmr.errors import BadInput
from fasthmr.footage.faults import check_is_not_text, check_readable, is_cut_mp4, not_a_video
from fasthmr.footage.focal import focal_35mm
from fasthmr.footage.info import FootageInfo, Frame
from fasthmr.footage.orientation import Orientation, orientation_of
from fasthmr.footage.timeline import Timeline, read_timeline

# AVCOL_SPC_UNSPECIFIED: the file does not say which matrix made its YUV.
_COLORSPACE_UNSPECIFIED = 2
_HD_LINES = 720
# Outside it, an aspect ratio is damage and not a lens (anamorphic film is 2).
_PLAUSIBLE_ASPECT = (0.25, 4.0)


@dataclass(frozen=True)
class _Picture:
    """How one decoded frame becomes an upright RGB image with square pixels."""

    stored_size: tuple[int, int]  # width and height to scale the stored picture to
    orientation: Orientation

    @property
    def upright_size(self) -> tuple[int, int]:
        width, height = self.stored_size
        return (height, width) if self.orientation.swaps_sides else (width, height)


class VideoFile:
    """One video file: its facts, and its frames in order.

    Args:
        path: the file.

    Raises:
        BadInput: missing, empty, unreadable, no video in it, cut before its index, or of a kind that
            FFmpeg cannot decode; the message says which.
    """

    def __init__(self, path: Path) -> None:
        check_readable(path)
        self._path = path
        with _opened(path) as (container, stream):
            self._timeline = read_timeline(container, stream)
            aspect = stream.sample_aspect_ratio
            focal = focal_35mm(container.metadata, stream.metadata)
        first = self._first_frame()
        self._picture = _Picture(_square_size(first, aspect), orientation_of(first))
        self.remarks: list[str] = []
        if is_cut_mp4(path):
            self.remarks.append(
                f"{path} is cut short: its last part is missing, and only the "
                f"{self._timeline.frame_count} frames that are there are used. "
                "Copy or export it again to have the rest."
            )
        width, height = self._picture.upright_size
        self.info = FootageInfo(
            path=path,
            kind="video",
            width=width,
            height=height,
            rotation=self._picture.orientation.clockwise,
            frame_rate=self._timeline.frame_rate,
            variable_rate=self._timeline.variable_rate,
            frame_count=self._timeline.frame_count,
            duration=self._timeline.duration,
            focal_35mm=focal,
        )

    def first_index_at(self, seconds: float) -> int:
        """Index of the first frame shown at ``seconds`` or later."""
        return min(self._timeline.first_index_at(seconds), self._timeline.frame_count)

    def frames(self, first: int, stop: int | None, warn: Callable[[str], None]) -> Iterator[Frame]:
        """Decode frames ``first`` to ``stop`` (exclusive; None is all).

        Reading begins at the last keyframe that is not after frame ``first``; what was decoded is
        checked against the timeline, and where a container seeks badly, reading begins earlier.
        """
        reformatter = VideoReformatter()
        damage = _Damage()
        with self._decoding_from(first, damage) as numbered:
            for index, decoded in numbered:
                if stop is not None and index >= stop:
                    break
                if index >= first:
                    yield Frame(index, self._timeline.time_of(index), self._to_rgb(decoded, reformatter))
        if damage.parts:
            warn(
                f"{self._path}: {damage.parts} damaged part(s) could not be decoded and were left out. "
                "Copy or export the footage again if they matter."
            )

    def _first_frame(self) -> av.VideoFrame:
        with self._decoding_from(0, _Damage()) as numbered:
            for _, frame in numbered:
                return frame
        raise BadInput(
            f"{self._path} holds no frame that can be decoded: it is damaged or cut short. "
            "Copy or export it again."
        )

    @contextlib.contextmanager
    def _decoding_from(self, first: int, damage: _Damage) -> Iterator[Iterator[tuple[int, av.VideoFrame]]]:
        """Numbered frames that begin at frame ``first`` or before it."""
        timeline = self._timeline
        starts: list[int | None] = [None]
        if first > 0 and timeline.has_times:
            before = timeline.keyframes[
                timeline.keyframes <= timeline.ticks[min(first, len(timeline.ticks) - 1)]
            ]
            starts = [int(pts) for pts in before[1:][::-1][:2]] + starts
        for start in starts:
            damage.parts = 0
            with _opened(self._path) as (container, stream):
                stream.thread_type = "AUTO"
                if start is not None:
                    try:
                        container.seek(start, stream=stream, backward=True)
                    except FFmpegError:
                        continue  # no index in the file: an earlier start, in the end the beginning
                numbered = _numbered(_decoded(container, stream, damage), timeline)
                head = next(numbered, None)
                if start is not None and (head is None or head[0] > first):
                    continue
                yield _chain(head, numbered)
                return

    def _to_rgb(self, frame: av.VideoFrame, reformatter: VideoReformatter) -> np.ndarray:
        width, height = self._picture.stored_size
        rgb = reformatter.reformat(
            frame,
            width=width,
            height=height,
            format="rgb24",
            src_colorspace=_matrix_of(frame),
            # The decoder's own threads keep the cores busy; more threads here only wait for each other.
            threads=1,
        )
        return self._picture.orientation.apply(np.ascontiguousarray(rgb.to_ndarray()))


@dataclass
class _Damage:
    """Count of packets that could not be decoded."""

    parts: int = 0


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file and choose its video stream.

    Raises:
        BadInput: it is not a video, or FFmpeg lacks the decoder.
    """
    check_is_not_text(path)
    try:
        # An absolute path is never taken for a protocol ("take:2.mp4"), and a playlist inside the file
        # never makes FFmpeg reach for the network.
        container = av.open(
            str(path.absolute()), metadata_errors="replace", options={"protocol_whitelist": "file"}
        )
    except FFmpegError as error:
        raise not_a_video(path, error) from error
    with container:
        if not container.streams:
            raise not_a_video(path, EOFError("nothing is in it"))
        # A song's cover is a video stream of one picture: no footage.
        streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams:
            kinds = ", ".join(sorted({s.type for s in container.streams}))
            raise BadInput(f"{path} holds no video, only {kinds}. Choose the footage itself.")
        stream = next((s for s in streams if s.disposition & Disposition.default), streams[0])
        if stream.codec_context is None:
            raise BadInput(
                f"{path} is coded in a way that cannot be decoded here ({stream.codec_tag}). "
                "Convert it to MP4 (H.264) first."
            )
        yield container, stream


def _decoded(container: InputContainer, stream: VideoStream, damage: _Damage) -> Iterator[av.VideoFrame]:
    """Frames in the order they are shown; packets that cannot be decoded are counted and left out."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except FFmpegError:
            damage.parts += 1
            return
        try:
            frames = packet.decode()
        except FFmpegError:
            damage.parts += 1
            continue
        yield from frames


def _numbered(frames: Iterator[av.VideoFrame], timeline: Timeline) -> Iterator[tuple[int, av.VideoFrame]]:
    """Give each frame its index in the whole clip; never the same index twice.

    Without timestamps frames are counted, which is right because such files are read from the beginning.
    """
    previous = -1
    for frame in frames:
        if timeline.has_times and frame.pts is not None:
            index = timeline.index_of(frame.pts)
            if index <= previous:
                continue
        else:
            index = previous + 1
        previous = index
        yield index, frame


def _chain(
    head: tuple[int, av.VideoFrame] | None, rest: Iterator[tuple[int, av.VideoFrame]]
) -> Iterator[tuple[int, av.VideoFrame]]:
    if head is not None:
        yield head
        yield from rest


def _square_size(frame: av.VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Size with square pixels: the picture is widened or heightened, so that no pixel is lost."""
    ratio = float(aspect) if aspect else 1.0
    if not _PLAUSIBLE_ASPECT[0] <= ratio <= _PLAUSIBLE_ASPECT[1]:
        ratio = 1.0
    if ratio >= 1.0:
        return round(frame.width * ratio), frame.height
    return frame.width, round(frame.height / ratio)


def _matrix_of(frame: av.VideoFrame) -> Colorspace | None:
    """The YUV matrix to assume where the file does not name one; None leaves it to the file."""
    if frame.colorspace != _COLORSPACE_UNSPECIFIED:
        return None
    return Colorspace.ITU709 if frame.height >= _HD_LINES else Colorspace.ITU601
