# SPDX-License-Identifier: GPL-3.0-or-later
"""The camera that filmed the clip, still or moving, as a Blender camera with the same pixels."""

from __future__ import annotations

from collections.abc import Sequence

import bpy
import numpy as np

from .action import SLOT_NAME
from .compat import Channels
from .curves import write_curves
from .motion_file import CameraTrack
from .resample import sample_at_scene_frames
from .rotations import quat_from_matrix, without_sign_jumps

# OpenCV's camera looks along z with y down, Blender's along -z with y up.
_OPENCV_FROM_BLENDER = np.diag([1.0, -1.0, -1.0])

_STILL = 1e-6
"""A camera whose matrix changes less than this is on a tripod."""


def build_camera(
    name: str,
    tracks: Sequence[tuple[np.ndarray, CameraTrack]],
    fps: float,
    start_frame: int,
    collection: bpy.types.Collection,
) -> bpy.types.Object:
    """Make the camera and link it to a collection; keyed when it moves.

    Args:
        name: of the object, the camera and the action.
        tracks: time stamps (T,) and camera of each person of the clip: one camera, seen at different times.
        fps: the scene's frames per second.
        start_frame: the scene frame of the clip's first frame.
        collection: where the camera goes.
    """
    camera = bpy.data.cameras.new(name)
    thing = bpy.data.objects.new(name, camera)
    collection.objects.link(thing)
    set_lens(camera, tracks[0][1])
    thing.rotation_mode = "QUATERNION"

    times, first_of_each = np.unique(np.concatenate([times for times, _ in tracks]), return_index=True)
    matrices = np.concatenate([track.world_from_camera for _, track in tracks])[first_of_each]
    positions = matrices[:, :3, 3]
    quats = quat_from_matrix(matrices[:, :3, :3] @ _OPENCV_FROM_BLENDER)
    thing.location, thing.rotation_quaternion = positions[0], quats[0]
    if np.ptp(matrices, axis=0).max() > _STILL:
        sampling = sample_at_scene_frames(times, fps, start_frame)
        channels = Channels(thing, name, SLOT_NAME)
        write_curves(channels, "location", "Location", sampling.frames, sampling.values(positions))
        turns = without_sign_jumps(sampling.rotations(quats))
        write_curves(channels, "rotation_quaternion", "Rotation", sampling.frames, turns)
    return thing


def set_lens(camera: bpy.types.Camera, track: CameraTrack) -> None:
    """Focal length and shift from a pinhole matrix.

    Blender measures both in image widths (`sensor_fit` horizontal), y in units of a pixel's width.
    """
    width, height = track.image_size
    (fx, _, cx), (_, fy, cy) = track.intrinsics[:2]
    camera.sensor_fit = "HORIZONTAL"
    camera.lens = fx * camera.sensor_width / width
    camera.shift_x = (width / 2 - cx) / width
    camera.shift_y = (cy - height / 2) * (fx / fy) / width


def set_resolution(render: bpy.types.RenderSettings, track: CameraTrack) -> None:
    """Give the scene the footage's pixels, so that renders lie over the footage exactly."""
    render.resolution_x, render.resolution_y = track.image_size
    render.resolution_percentage = 100
    aspect = track.intrinsics[1, 1] / track.intrinsics[0, 0]
    render.pixel_aspect_x, render.pixel_aspect_y = max(aspect, 1.0), max(1 / aspect, 1.0)
