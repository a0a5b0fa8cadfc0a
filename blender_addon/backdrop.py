# SPDX-License-Identifier: GPL-3.0-or-later
"""The footage behind the camera, in step with the keys at any scene rate.

Blender shows one movie frame a scene frame. Where the rates differ, the clip's start frame is
animated: a straight line, so two keys are enough for any length.
"""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np

from .action import SLOT_NAME
from .array_file import ImportProblem
from .compat import TURNS_FOOTAGE, Channels
from .image_sequence import forget, pictures_of

_IN_STEP = 0.5
"""Footage that is less than this off at the end (in frames) needs no other timing."""


def add_backdrop(
    camera: bpy.types.Camera,
    footage: Path,
    size: tuple[int, int],
    frame_rate: float,
    render: bpy.types.RenderSettings,
    start_frame: int,
) -> list[str]:
    """Put footage behind a camera.

    Args:
        camera: the camera data.
        footage: a movie, a folder of pictures, or a pattern such as ``shot_####.png``.
        size: width and height that the motion was recovered from.
        frame_rate: frames per second of pictures; a movie knows its own.
        render: the scene's render settings (its rate and shape).
        start_frame: the scene frame of the clip's first frame.

    Returns:
        What the user should know about the footage; empty when all is well.

    Raises:
        ImportProblem: Blender cannot open the footage.
    """
    path = first_file(footage)
    clip = _open_clip(path)
    clip.name = camera.name
    if clip.source == "MOVIE":
        frame_rate = clip.fps
    _keep_in_step(clip, frame_rate, render.fps / render.fps_base, start_frame)

    background = camera.background_images.new()
    background.source = "MOVIE_CLIP"
    background.clip = clip
    background.alpha = 1.0
    background.display_depth = "BACK"
    # as wide as the camera's frame, whatever the scene's shape, because that is how the lens is matched
    scene_is_wider = render.resolution_x * size[1] >= render.resolution_y * size[0]
    background.frame_method = "CROP" if scene_is_wider else "FIT"
    camera.show_background_images = True
    return _remarks(clip, path, size)


def first_file(footage: Path) -> Path:
    """The movie, or the first picture of a folder or a pattern; Blender finds the others by their numbers.

    Raises:
        ImportProblem: nothing is there.
    """
    if footage.is_file():
        return footage
    forget()
    if pictures := pictures_of(footage):
        return (footage if footage.is_dir() else footage.parent) / pictures[0]
    raise ImportProblem(f"The footage {footage} is not there. Check the path.")


def _open_clip(path: Path) -> bpy.types.MovieClip:
    try:
        clip = bpy.data.movieclips.load(str(path))
    except RuntimeError as error:
        raise ImportProblem(f"Blender cannot open the footage {path}: {error}") from error
    if min(clip.size) < 1 or (clip.source == "MOVIE" and not clip.fps > 0):
        bpy.data.movieclips.remove(clip)
        raise ImportProblem(f"Blender cannot open the footage {path}: no movie or picture that it knows.")
    return clip


def _keep_in_step(clip: bpy.types.MovieClip, clip_rate: float, scene_rate: float, start_frame: int) -> None:
    """Show clip frame 1 + t * clip_rate at scene frame start + t * scene_rate.

    Blender shows clip frame ``s - frame_start + 1`` at scene frame s.
    """
    clip.frame_start = start_frame
    length = clip.frame_duration * scene_rate / clip_rate
    drift = length * (1 - clip_rate / scene_rate)
    if abs(drift) < _IN_STEP:
        return
    curve = Channels(clip, clip.name, SLOT_NAME).new("frame_start", 0, "Retiming")
    curve.update_autoflags(clip)  # tells the curve that it makes whole numbers, to be rounded and not cut off
    curve.keyframe_points.add(2)
    curve.keyframe_points.foreach_set(
        "co", np.array([start_frame, start_frame, start_frame + length, start_frame + drift], np.float32)
    )
    for key in curve.keyframe_points:
        key.interpolation = "LINEAR"
    curve.extrapolation = "LINEAR"
    curve.update()


def _remarks(clip: bpy.types.MovieClip, path: Path, size: tuple[int, int]) -> list[str]:
    shown = tuple(clip.size)
    if shown == size:
        return []
    if shown == size[::-1] and not TURNS_FOOTAGE:
        return [f"Blender before 4.5 shows {path.name} lying on its side; the camera itself is right."]
    return [
        f"{path.name} has {shown[0]}x{shown[1]} pixels, but the motion comes from {size[0]}x{size[1]}. "
        "Is it the right footage?"
    ]
