# SPDX-License-Identifier: GPL-3.0-or-later
"""Which part of the footage to recover, in seconds of the clip, as the backend takes it.

The backend reads the frames that are shown at the start or later, and before the end. Times of whole frames
are rounded in files (33 ms for 1/30 s), so ranges of frames are asked for from half a frame before the first
to half a frame after the last: those frames and no others, in any footage with a steady rate. In footage
whose rate varies they are the frames that stand there at its average rate.

A range of the scene is taken as Blender shows a movie clip, one clip frame a scene frame, even if the rates
differ: what the scene's range shows is what is recovered. Footage that is a file has its first frame at the
scene's first frame and runs by the clock: at a scene frame stands the clip's frame that is nearest in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bpy.app.translations import pgettext_n as n_
from bpy.app.translations import pgettext_rpt as rpt_

from .chosen_footage import Footage, chosen_footage
from .resample import scene_rate

if TYPE_CHECKING:
    import bpy

    from .properties import RECOVER_MOTION_PG_form as Form

_DIGITS = 6
"""Decimals of a second that are kept: finer than a frame of any footage, coarser than single precision."""


class RangeProblem(Exception):  # noqa: N818 (as ImportProblem)
    """The range cannot be used; the message says why, in words for the button's tooltip."""


@dataclass(frozen=True)
class Span:
    """A part of footage.

    Attributes:
        start: seconds of the clip; None for its beginning.
        end: seconds of the clip; None for its end.
        frames: index of the first and the last frame of the clip, where they are known.
        start_frame: scene frame at which the clip's first frame is to stand after the import; None to leave
            that to the import.
    """

    start: float | None = None
    end: float | None = None
    frames: tuple[int, int] | None = None
    start_frame: int | None = None


def chosen_span(form: Form) -> Span:
    """The part of the footage that a form chooses.

    Raises:
        RangeProblem: there is nothing in it, or the footage has no such range.
    """
    footage = chosen_footage(form)
    if footage is None:
        return Span()
    match form.part:
        case "SCENE":
            first, last = scene_range(form.id_data)
            return _of_scene(footage, first, last, scene_rate(form.id_data))
        case "CLIP":
            return _of_clip(footage, scene_rate(form.id_data))
        case "TIMES":
            return _of_times(footage, form.start, form.end, scene_rate(form.id_data))
    every = None if footage.count is None else (0, footage.count - 1)
    return Span(frames=every, start_frame=_start_frame(footage, 0.0, scene_rate(form.id_data)))


def scene_range(scene: bpy.types.Scene) -> tuple[int, int]:
    """First and last frame of a scene: of its preview range, where that is in use."""
    if scene.use_preview_range:
        return scene.frame_preview_start, scene.frame_preview_end
    return scene.frame_start, scene.frame_end


def _of_scene(footage: Footage, first: int, last: int, rate: float) -> Span:
    """What stands at the scene's frames from `first` to `last`; `rate` is the scene's."""
    if footage.shown is not None and footage.clock == footage.rate:
        low, high = footage.shown
        start, end = max(first - footage.origin, low), min(last - footage.origin, high)
        if start > end:
            raise RangeProblem(
                rpt_(
                    "The scene's frames {} to {} show nothing of the clip, which stands at frames {} to {}"
                ).format(first, last, footage.origin + low, footage.origin + high)
            )
        return _of_frames(footage, start, end, rate)
    start, end = ((frame - footage.origin) / footage.clock for frame in (first - 0.5, last + 0.5))
    if end <= 0:
        raise RangeProblem(
            rpt_("The scene's range ends at frame {}, but the clip begins at frame {}").format(
                last, footage.origin
            )
        )
    start = max(start, 0.0)
    frames = None
    if footage.rate is not None and footage.count is not None:
        # the first frame that is not earlier than the start, and the last that is earlier than the end
        frames = (_ceil(start * footage.rate), min(_ceil(end * footage.rate), footage.count) - 1)
        if frames[0] > frames[1]:
            raise RangeProblem(
                rpt_("The scene's range begins {:.2f} s into the clip, which lasts {:.2f} s").format(
                    start, footage.count / footage.rate
                )
            )
    start_frame = footage.origin if footage.shown is None else _start_frame(footage, 0, rate)
    return Span(_rounded(start) if start > 0 else None, _rounded(end), frames, start_frame)


def _of_clip(footage: Footage, rate: float) -> Span:
    """What a movie clip shows."""
    if footage.shown is None:
        raise RangeProblem(
            n_("Only a movie clip has a range of its own: choose one as the footage, or another range")
        )
    if footage.shown[0] > footage.shown[1]:
        raise RangeProblem(n_("The frame offset of the movie clip leaves nothing of it"))
    return _of_frames(footage, *footage.shown, rate)


def _of_times(footage: Footage, start: float, end: float, rate: float) -> Span:
    """Between two times of the clip in seconds; an end of 0 is the clip's."""
    if 0 < end <= start:
        raise RangeProblem(n_("The range ends before it starts"))
    frames = None
    if footage.rate is not None and footage.count is not None:
        length = footage.count / footage.rate
        if start >= length:
            raise RangeProblem(
                rpt_("The range starts at {:.2f} s, but the clip lasts {:.2f} s").format(start, length)
            )
        last = footage.count if end <= 0 else min(_ceil(end * footage.rate), footage.count)
        frames = (_ceil(start * footage.rate), last - 1)
    start_frame = _start_frame(footage, start * (footage.rate or 0.0), rate)
    # four decimals: single precision makes 0.1000000015 of what the user has typed
    return Span(round(start, 4), round(end, 4) if end > 0 else None, frames, start_frame)


def _of_frames(footage: Footage, first: int, last: int, rate: float) -> Span:
    start = (first - 0.5) / footage.rate if first > 0 else None
    return Span(
        None if start is None else _rounded(start),
        _rounded((last + 0.5) / footage.rate),
        (first, last),
        _start_frame(footage, first, rate),
    )


def _start_frame(footage: Footage, first: float, rate: float) -> int | None:
    """Where the clip's first frame must be imported to, so that its frame `first` stands where it is shown.

    The movie clip stands in the scene already, and may run frame by frame; the motion will run by the clock.
    """
    if footage.shown is None:
        return None
    return round(footage.origin + first * (footage.clock - rate) / footage.rate)


def _ceil(index: float) -> int:
    """Index of the first frame that is not earlier, as the backend counts in pictures."""
    return max(0, int(-((1e-3 - index) // 1)))


def _rounded(seconds: float) -> float:
    return round(seconds, _DIGITS)
