# SPDX-License-Identifier: GPL-3.0-or-later
"""The footage that a form chooses, as the backend takes it: which file, how fast, where in the scene.

A frame's index counts from 0 at the first frame of the file (of a sequence: the first picture by number), as
the backend counts. Blender's movie clips count from the scene frame at which they start:

    index = scene frame - clip.frame_start + clip.frame_offset

one frame of the clip at each frame of the scene, whatever their rates are; or by the clock, where the start
frame is animated as the import does it for footage of another rate (see `backdrop`). Footage that is a file
is in no scene yet: its first frame will be at the scene's first frame, where the import puts it, and it runs
by the clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bpy
from bpy.app.translations import pgettext_n as n_
from bpy.app.translations import pgettext_rpt as rpt_

from .compat import curves_of
from .image_sequence import WILDCARD, is_picture, pattern_of, pictures_of
from .resample import scene_rate

if TYPE_CHECKING:
    from .properties import RECOVER_MOTION_PG_form as Form


@dataclass(frozen=True)
class Footage:
    """Footage, and what is known of it without opening the file.

    Attributes:
        path: a video file, a folder of pictures or a pattern of pictures; absolute.
        is_sequence: pictures, not a video.
        rate: frames per second; None for a video file that is no movie clip: the backend will find out.
        size: width and height in pixels; None likewise, and for sequences that are no movie clip.
        count: number of frames in the file; None likewise.
        shown: index of the first and the last frame that the movie clip shows; None for a file.
        origin: scene frame at which the frame of index 0 stands, or would.
        clock: scene frames in a second of the footage: the footage's own rate for a movie clip, of which
            Blender shows one frame a scene frame; the scene's rate for a file, and for a clip by the clock.
    """

    path: Path
    is_sequence: bool
    rate: float | None
    size: tuple[int, int] | None
    count: int | None
    shown: tuple[int, int] | None
    origin: int
    clock: float


def chosen_footage(form: Form) -> Footage | None:
    """What a form chooses; None when it chooses nothing, or a movie clip whose file cannot be read."""
    if form.source == "CLIP":
        return _of_clip(form) if form.clip is not None else None
    return _of_path(form) if form.footage.strip() else None


def footage_path(form: Form) -> Path | None:
    """The footage alone, without a look into the file; None when nothing is chosen."""
    if form.source == "CLIP":
        return _path_of(form.clip) if form.clip is not None else None
    if not form.footage.strip():
        return None
    path = Path(bpy.path.abspath(form.footage))
    return pattern_of(path) if is_picture(path) and not path.is_dir() else path


def problem_of_footage(form: Form) -> str:
    """Why the footage cannot be used; empty when it can be."""
    if form.source == "CLIP" and form.clip is None:
        return n_("Choose a movie clip first")
    path = footage_path(form)
    if path is None:
        return n_("Choose the footage first")
    if path.is_dir() and not pictures_of(path):
        return rpt_("There are no images in the folder {}").format(path)
    if not path.exists():
        if not WILDCARD.search(path.name):
            return rpt_("The footage is not there: {}").format(path)
        if not pictures_of(path):
            return rpt_("There is no image of the sequence {}").format(path)
    if form.source == "CLIP" and (curve := _timing(form.clip)) and _rate_by_the_clock(form, curve) is None:
        return n_(
            "The start frame of this movie clip is animated: choose the file itself, or remove its keys"
        )
    if form.source == "CLIP" and chosen_footage(form) is None:
        return rpt_("Blender cannot read the file of this movie clip: {}").format(path)
    return ""


def _of_path(form: Form) -> Footage:
    scene, path = form.id_data, footage_path(form)
    if not (path.is_dir() or is_picture(path)):
        return Footage(path, False, None, None, None, None, scene.frame_start, scene_rate(scene))
    pictures = pictures_of(path)
    return Footage(
        path, True, _sequence_rate(form), None, len(pictures), None, scene.frame_start, scene_rate(scene)
    )


def _of_clip(form: Form) -> Footage | None:
    """A movie clip, by Blender's own view of it (see the module)."""
    clip = form.clip
    size, path = tuple(clip.size), _path_of(clip)
    if min(size) < 1:  # no such file, or none that Blender reads
        return None
    if clip.source == "MOVIE":
        if clip.fps <= 0:
            return None
        count, before, rate = clip.frame_duration, 0, clip.fps
    else:
        pictures = pictures_of(path)
        first = Path(_absolute(clip)).name
        if first not in pictures:
            return None
        # Blender begins at the picture that was chosen, the backend at the first of the sequence
        count, before, rate = len(pictures), pictures.index(first), _sequence_rate(form)
    offset = before + clip.frame_offset
    # what Blender has counted for a sequence may be from before the offset was set: see to what there is
    shown = (max(offset, 0), min(offset + clip.frame_duration, count, before + clip.frame_duration) - 1)
    origin, clock = clip.frame_start - offset, rate
    if (curve := _timing(clip)) and (by_the_clock := _rate_by_the_clock(form, curve)):
        clock, rate = scene_rate(form.id_data), by_the_clock
        frame, start = curve.keyframe_points[0].co
        origin = round(frame - (frame - start + offset) * clock / rate)
    return Footage(path, clip.source == "SEQUENCE", rate, size, count, shown, origin, clock)


def _timing(clip: bpy.types.MovieClip) -> bpy.types.FCurve | None:
    """The curve that moves a clip's start frame; None when it stays where it is."""
    curves = (curve for curve in curves_of(clip) if curve.data_path == "frame_start")
    return next((curve for curve in curves if len(curve.keyframe_points) > 1), None)


def _rate_by_the_clock(form: Form, curve: bpy.types.FCurve) -> float | None:
    """Frames per second of a clip that a curve makes run by the clock; None when it does something else.

    One clip frame a scene frame, less the slope of a straight line, is the footage's rate.
    """
    (first, low), *between, (last, high) = (key.co for key in curve.keyframe_points)
    slope = (high - low) / (last - first)
    rate = scene_rate(form.id_data) * (1 - slope)
    straight = all(abs(low + slope * (frame - first) - start) < 1 for frame, start in between)
    own = form.clip.fps or form.frame_rate or rate  # pictures do not know theirs
    return own if straight and abs(own - rate) < 0.01 * own else None


def _path_of(clip: bpy.types.MovieClip) -> Path:
    path = Path(_absolute(clip))
    return pattern_of(path) if clip.source == "SEQUENCE" else path


def _absolute(clip: bpy.types.MovieClip) -> str:
    return bpy.path.abspath(clip.filepath, library=clip.library)


def _sequence_rate(form: Form) -> float:
    """Frames per second of pictures: the form's, or else the scene's, as Blender shows one a scene frame."""
    return form.frame_rate if form.frame_rate > 0 else scene_rate(form.id_data)
