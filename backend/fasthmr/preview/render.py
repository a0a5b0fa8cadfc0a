# SPDX-License-Identifier: Apache-2.0
"""The preview: bodies over the footage beside a view from the side, as a video and as one picture.

Left the footage with the recovered bodies drawn half transparent through the motion's own camera: what
does not cover the person there is wrong in the picture. Right the same moment from the side: a lean, a
foot in the air or a jump in depth, which the left half hides, shows there. Frames stream through; the
memory needed does not depend on the length of the clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from fasthmr.body import BodyModel
from fasthmr.errors import BadCall, BadInput
from fasthmr.files import written_whole
from fasthmr.footage import FootageInfo, Frame, open_footage, probe
from fasthmr.motion import Motion
from fasthmr.preview.figures import Figure
from fasthmr.preview.panels import blend, label, moments, overlay_size, side_size, strip
from fasthmr.preview.renderer import COLOURS, Renderer
from fasthmr.preview.video import VideoWriter
from fasthmr.preview.view import SideCamera, pinhole_view
from fasthmr.progress import Progress

STAGE: Final = "preview"
_MOMENTS: Final = 6


def render_preview(
    footage: Path,
    motions: Sequence[Path | Motion],
    body: BodyModel,
    out_video: Path,
    out_image: Path,
    progress: Progress | None = None,
) -> None:
    """Draw recovered motions over their footage and from the side.

    The preview reaches from the first to the last frame in which anybody was recovered. Both files
    appear only when they are whole.

    Args:
        footage: the clip that the motions were recovered from.
        motions: one motion, or its file, for each person.
        body: the body that the motions were recovered with.
        out_video: MP4 to write (H.264).
        out_image: PNG to write: several moments, spread over the clip.
        progress: told of every frame, as stage "preview".

    Raises:
        BadCall: there is no motion.
        BadInput: footage or a motion cannot be read, or they do not belong together.
        FastHMRError: OpenGL cannot be started.
        Cancelled: the user cancelled; nothing is written.
    """
    if not motions:
        raise BadCall("There is no motion to preview. Name at least one motion file.")
    progress = progress or Progress()
    loaded = [motion if isinstance(motion, Motion) else Motion.load(motion) for motion in motions]
    rate = loaded[0].mocap_framerate
    info = probe(footage, rate)
    _check_sizes(info, motions, loaded)
    figures = [Figure(motion, body) for motion in loaded]
    first, last = min(figure.first for figure in figures), max(figure.last for figure in figures)
    start = min(float(motion.timestamps[0]) for motion in loaded)
    end = max(float(motion.timestamps[-1]) for motion in loaded) + 0.25 / info.frame_rate
    wanted = moments(first, last, _MOMENTS)
    pictures: list[np.ndarray] = []
    with (
        open_footage(footage, start, end, frame_rate=rate, progress=progress) as clip,
        _Painter(figures, info) as painter,
        written_whole(out_video) as stream,
        VideoWriter(stream, painter.size, info.frame_rate) as writer,
    ):
        for done, frame in enumerate(clip, start=1):
            picture = painter.paint(frame)
            writer.write(picture, frame.time - start)
            if wanted and frame.index >= wanted[0]:
                wanted = [index for index in wanted if index > frame.index]
                pictures.append(picture)
            progress.report(STAGE, done, clip.expected_frames)
    _, png = cv2.imencode(".png", cv2.cvtColor(strip(pictures), cv2.COLOR_RGB2BGR))
    with written_whole(out_image) as stream:
        stream.write(png.tobytes())


class _Painter:
    """Paints one frame after the other: overlay left, side view right."""

    def __init__(self, figures: Sequence[Figure], info: FootageInfo) -> None:
        self._figures = figures
        self._overlay = overlay_size(info.width, info.height)
        self._first = min(figure.first for figure in figures)
        side = side_size(*self._overlay)
        self._side = SideCamera(*_bounds(figures, self._first), info.frame_rate, side)
        body = figures[0].body
        self._renderer = Renderer(body.faces.cpu().numpy(), len(body.v_template), len(figures))
        self.size = (self._overlay[0] + side[0], self._overlay[1])

    def __enter__(self) -> _Painter:
        self._renderer.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self._renderer.__exit__(None, None, None)

    def paint(self, frame: Frame) -> np.ndarray:
        """(H, W, 3) uint8: both halves of one frame."""
        overlay = cv2.resize(frame.image, self._overlay, interpolation=cv2.INTER_AREA)
        present = [
            (number, figure, row)
            for number, figure in enumerate(self._figures)
            if (row := figure.row(frame.index)) is not None
        ]
        self._renderer.show(
            [(figure.mesh(row), COLOURS[number % len(COLOURS)]) for number, figure, row in present]
        )
        if present:
            cameras = [
                pinhole_view(
                    figure.motion.camera_intrinsics,
                    figure.motion.world_from_camera[row],
                    figure.motion.image_size.tolist(),
                    self._overlay,
                )
                for _, figure, row in present
            ]
            blend(overlay, self._renderer.figures(cameras))
        place = frame.index - self._first
        side = self._renderer.scene(self._side.view(place), self._side.target(place))
        label(overlay, f"frame {frame.index}   {frame.time:.2f} s")
        label(side, "from the side: camera on the left, grid of 1 m")
        if len(self._figures) > 1:
            for line, (number, _, _) in enumerate(present, start=1):
                label(side, f"person {number + 1}", line, COLOURS[number % len(COLOURS)])
        return np.concatenate([overlay, side], axis=1)


def _bounds(figures: Sequence[Figure], first: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the box around everybody for each frame from ``first`` on; NaN where nobody is there."""
    count = max(figure.last for figure in figures) - first + 1
    lower, upper = np.full((count, 3), np.nan), np.full((count, 3), np.nan)
    for figure in figures:
        rows = slice(figure.first - first, figure.last - first + 1)
        low, high = figure.bounds()
        lower[rows], upper[rows] = np.fmin(lower[rows], low), np.fmax(upper[rows], high)
    return lower, upper


def _check_sizes(info: FootageInfo, motions: Sequence[Path | Motion], loaded: Sequence[Motion]) -> None:
    """Refuse a motion that was recovered from other footage."""
    for given, motion in zip(motions, loaded, strict=True):
        width, height = (int(side) for side in motion.image_size)
        if (width, height) != (info.width, info.height):
            name = "A motion" if isinstance(given, Motion) else f"The motion {given}"
            raise BadInput(
                f"{name} was recovered from footage of {width}x{height} pixels, but {info.path} has "
                f"{info.width}x{info.height}. Name the footage that it was recovered from."
            )
