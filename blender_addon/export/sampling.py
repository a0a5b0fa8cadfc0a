# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an armature's bones are at every frame, seen without touching the user's scene.

The armature is linked to a scene of its own, which no window shows: what Blender evaluates there stays in
evaluated copies, and poses that the user has not keyed yet are not lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import bpy
import numpy as np

from ..compat import Placed
from ..edit_mode import in_window
from .baked_pose import even_scale
from .options import ExportOptions, ExportProblem

_SCENE = "recover_motion.export"


@dataclass(frozen=True)
class Sampled:
    """An armature with B bones at F frames.

    Attributes:
        frames: (F,) consecutive scene frames.
        fps: frames per second.
        metres: to a unit of the scene.
        names: of the bones, parents before their children.
        bones: (F, B, 4, 4) the bones in the world, in units of the scene.
        armature: (F, 4, 4) the armature object in the world.
        meshes: (4, 4) in the world at the first frame, by the object's name.
        action: name of what moves it.
    """

    frames: np.ndarray
    fps: float
    metres: float
    names: tuple[str, ...]
    bones: np.ndarray
    armature: np.ndarray
    meshes: dict[str, np.ndarray]
    action: str

    @property
    def range(self) -> tuple[int, int]:
        """First and last frame."""
        return int(self.frames[0]), int(self.frames[-1])

    @property
    def heads(self) -> np.ndarray:
        """(F, B, 3) the bones' heads in the world, metres."""
        return self.bones[..., :3, 3] * self.metres


def sample(
    scene: bpy.types.Scene,
    armature: bpy.types.Object,
    meshes: Sequence[bpy.types.Object],
    options: ExportOptions,
) -> Sampled:
    """See where the bones are at every frame of the range.

    Raises:
        ExportProblem: nothing moves the armature, its range is empty, or its scale is not even.
    """
    first, last = frame_range(scene, armature, options)
    frames = np.arange(first, last + 1)
    with scene_of([armature, *meshes], scene, (first, last)) as place:
        layer = place.view_layers[0]
        place.frame_set(first)
        seen = {thing.name: _matrix(thing.evaluated_get(layer.depsgraph).matrix_world) for thing in meshes}
        for thing in meshes:  # a rig is faster without its skins
            place.collection.objects.unlink(thing)
        bones = [bone.name for bone in armature.data.bones]
        local = np.empty((len(frames), len(bones), 4, 4))
        world = np.empty((len(frames), 4, 4))
        column_by_column = np.empty(16 * len(bones), np.float32)
        for index, frame in enumerate(frames.tolist()):
            place.frame_set(frame)
            posed = armature.evaluated_get(layer.depsgraph)
            posed.pose.bones.foreach_get("matrix", column_by_column)
            local[index] = column_by_column.reshape(-1, 4, 4).transpose(0, 2, 1)
            world[index] = _matrix(posed.matrix_world)
    if even_scale(world[0]) is None:
        raise ExportProblem(
            f"{armature.name} is scaled unevenly or mirrored, which other programs do not take. Apply its"
            " scale (Ctrl+A, Scale) and export again."
        )
    order = _parents_first(armature.data.bones)
    return Sampled(
        frames,
        scene.render.fps / scene.render.fps_base,
        1.0 if scene.unit_settings.system == "NONE" else scene.unit_settings.scale_length,
        tuple(bones[index] for index in order),
        world[:, None] @ local[:, order],
        world,
        seen,
        action_name(armature),
    )


@contextmanager
def scene_of(
    things: Sequence[bpy.types.Object], like: bpy.types.Scene, frames: tuple[int, int], name: str = _SCENE
) -> Iterator[bpy.types.Scene]:
    """A scene with these objects alone, with the frame rate of another one; it is gone after the block.

    Objects that are switched off in viewports are on inside the block, or Blender would not evaluate them.
    """
    place = bpy.data.scenes.new(name)
    hidden = [thing for thing in things if thing.hide_viewport]
    try:
        for attribute in ("fps", "fps_base", "frame_map_old", "frame_map_new"):
            setattr(place.render, attribute, getattr(like.render, attribute))
        place.frame_start, place.frame_end = frames
        for thing in things:
            place.collection.objects.link(thing)
        for thing in hidden:
            thing.hide_viewport = False
        yield place
    finally:
        for thing in hidden:
            thing.hide_viewport = True
        with in_window(bpy.context):  # without one, Blender 4.2 crashes here
            bpy.data.scenes.remove(place)


def frame_range(
    scene: bpy.types.Scene, armature: bpy.types.Object, options: ExportOptions
) -> tuple[int, int]:
    """First and last frame to export.

    Raises:
        ExportProblem: there is nothing to take them from, or the last is before the first.
    """
    moved = _moved_from_to(armature)
    if moved is None and not _is_driven(armature):
        raise ExportProblem(
            f"{armature.name} has no action: there is no motion to export. Give it one, or choose another"
            " character."
        )
    if options.frames == "OWN":
        first, last = options.start, options.end
    elif options.frames == "SCENE" or moved is None:
        first, last = scene.frame_start, scene.frame_end
        if scene.use_preview_range:
            first, last = scene.frame_preview_start, scene.frame_preview_end
    else:
        first, last = math.floor(moved[0] + 1e-3), math.ceil(moved[1] - 1e-3)
    if last < first:
        raise ExportProblem(f"The last frame, {last}, is before the first, {first}. Change the frame range.")
    return first, last


def _moved_from_to(armature: bpy.types.Object) -> tuple[float, float] | None:
    """The frames that an armature's action has, or else its NLA strips; None when it has neither."""
    animation = armature.animation_data
    if animation is None:
        return None
    if animation.action is not None:
        placed = Placed.on(animation)
        if not animation.action.use_frame_range:
            keyed = [curve.range() for curve in placed.curves() if len(curve.keyframe_points)]
            return (min(start for start, _ in keyed), max(end for _, end in keyed)) if keyed else None
        return tuple(animation.action.frame_range)
    strips = [
        strip for track in animation.nla_tracks if not track.mute for strip in track.strips if not strip.mute
    ]
    if not strips:
        return None
    return min(strip.frame_start for strip in strips), max(strip.frame_end for strip in strips)


def _is_driven(armature: bpy.types.Object) -> bool:
    """Whether something other than an action may move an armature, as the constraints of a retargeting."""
    return bool(armature.constraints or any(bone.constraints for bone in armature.pose.bones))


def action_name(armature: bpy.types.Object) -> str:
    """Name of the action that moves an armature, or else of the armature."""
    animation = armature.animation_data
    return animation.action.name if animation is not None and animation.action else armature.name


def _parents_first(bones: bpy.types.ArmatureBones) -> list[int]:
    depth = {bone.name: len(bone.parent_recursive) for bone in bones}
    return sorted(range(len(bones)), key=lambda index: depth[bones[index].name])


def _matrix(matrix) -> np.ndarray:
    return np.array(matrix, np.float64)
