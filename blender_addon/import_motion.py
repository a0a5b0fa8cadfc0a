# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion files of one clip into the scene: rigged, skinned, keyed bodies and the matching camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bpy
import numpy as np

from .action import key_motion
from .array_file import ImportProblem
from .backdrop import add_backdrop
from .body_file import Body, open_body_path, read_body_file
from .camera import build_camera, set_resolution
from .compat import NAME_BYTES
from .mesh import build_mesh
from .motion_file import MotionFile, read_motion_file
from .provenance import provenance, stamp
from .resample import sample_at_scene_frames, scene_rate
from .rest_figure import RestFigure
from .rig import build_armature
from .rollback import undone_on_failure

__all__ = ["ImportProblem", "ImportResult", "import_motion"]

_LONGEST_ENDING = len(".person00.body.000")


@dataclass(frozen=True)
class ImportResult:
    """What an import made.

    Attributes:
        collection: holds everything below; named after the clip.
        armatures: one a person, named ``<clip>.<person>``.
        meshes: the skinned bodies, in the same order.
        actions: their motion, in the same order.
        camera: None when there is none in the files, or none was wanted.
        frame_range: first and last keyed scene frame.
        notes: what the user should know, though the import went well.
    """

    collection: bpy.types.Collection
    armatures: tuple[bpy.types.Object, ...]
    meshes: tuple[bpy.types.Object, ...]
    actions: tuple[bpy.types.Action, ...]
    camera: bpy.types.Object | None
    frame_range: tuple[int, int]
    notes: tuple[str, ...] = ()


def import_motion(
    context: bpy.types.Context,
    motion_paths: Sequence[str | Path],
    *,
    footage: str | Path | None = None,
    body_path: str | Path | None = None,
    start_frame: int | None = None,
    use_camera: bool = True,
    set_render_size: bool = False,
) -> ImportResult:
    """Import the people of one clip; all of it, or nothing at all.

    The motion is sampled at the scene's frames; the scene's rate and frame range stay as they are.

    Args:
        context: its scene and view layer are used; a window is not needed.
        motion_paths: motion files of the clip's people.
        footage: movie, folder or pattern to show behind the camera.
        body_path: body file; by default the open body, or ``<clip>.body.npz`` beside the motion file if
            that was made with another body.
        start_frame: scene frame of the clip's first frame; the scene's start by default.
        use_camera: make the camera that filmed the clip, and make it the scene's.
        set_render_size: give the scene the footage's resolution.

    Raises:
        ImportProblem: a file cannot be used; nothing has changed then.
    """
    notes: list[str] = []
    motions = _read_motions([Path(path) for path in motion_paths])
    bodies = _bodies(motions, Path(body_path) if body_path else None, notes)
    scene = context.scene
    start = scene.frame_start if start_frame is None else start_frame
    fps = scene_rate(scene)
    clip = _short(motions[0].clip)

    armatures, meshes, actions, frames = [], [], [], []
    camera = None
    with undone_on_failure(scene):
        collection = bpy.data.collections.new(clip)
        scene.collection.children.link(collection)
        for number, (motion, (body, betas)) in enumerate(zip(motions, bodies, strict=True)):
            name = f"{clip}.{motion.person}"
            figure = RestFigure.of(body, betas)
            sampling = sample_at_scene_frames(motion.timestamps, fps, start)
            armature = build_armature(context, name, figure, collection)
            meshes.append(build_mesh(f"{name}.body", figure, armature, collection, number))
            actions.append(key_motion(name, motion, figure, armature, sampling))
            armatures.append(armature)
            frames += [int(sampling.frames[0]), int(sampling.frames[-1])]
            origin = provenance(motion, body)
            for block in (armature, actions[-1], collection):
                stamp(block, origin)
        if use_camera:
            camera = _camera(context, clip, motions, footage, start, set_render_size, notes, collection)
    context.view_layer.update()
    return ImportResult(
        collection,
        tuple(armatures),
        tuple(meshes),
        tuple(actions),
        camera,
        (min(frames), max(frames)),
        tuple(dict.fromkeys(notes)),
    )


def _read_motions(paths: Sequence[Path]) -> list[MotionFile]:
    """The motions, checked to be people of one clip."""
    if not paths:
        raise ImportProblem("No motion file was chosen.")
    motions = [read_motion_file(path) for path in dict.fromkeys(paths)]
    clips = sorted({motion.clip for motion in motions})
    if len(clips) > 1:
        raise ImportProblem(
            f"These motion files belong to different clips: {', '.join(clips)}. Import one clip at a time."
        )
    return motions


def _bodies(
    motions: Sequence[MotionFile], chosen: Path | None, notes: list[str]
) -> list[tuple[Body, np.ndarray]]:
    """The body of each motion, and the shape to give it."""
    read: dict[Path, Body] = {}
    found = []
    for motion in motions:
        path = chosen or _body_beside(motion) or open_body_path()
        if path not in read:
            read[path] = read_body_file(path)
        betas = motion.betas
        if not motion.meta and path == open_body_path():
            # AMASS shapes are SMPL's; in the open body's shape space the same numbers mean something else
            betas = np.zeros_like(betas)
            notes.append(f"{motion.path.name} has a shape for SMPL's body: not used here.")
        found.append((read[path], betas))
    return found


def _body_beside(motion: MotionFile) -> Path | None:
    """The body that the motion was made with, if it is not the open one."""
    if motion.body_name in (None, "open"):
        return None
    path = motion.path.with_name(f"{motion.clip}.body.npz")
    if not path.is_file():
        raise ImportProblem(
            f"{motion.path.name} was made with the body '{motion.body_name}', but {path} is not there. "
            "Put it back, or choose the body file yourself."
        )
    return path


def _camera(
    context: bpy.types.Context,
    clip: str,
    motions: Sequence[MotionFile],
    footage: str | Path | None,
    start_frame: int,
    set_render_size: bool,
    notes: list[str],
    collection: bpy.types.Collection,
) -> bpy.types.Object | None:
    """The clip's camera, made the scene's own; None when no file tells of one."""
    tracks = [(motion.timestamps, motion.camera) for motion in motions if motion.camera is not None]
    if not tracks:
        return None
    scene, track = context.scene, tracks[0][1]
    camera = build_camera(f"{clip}.camera", tracks, scene_rate(scene), start_frame, collection)
    scene.camera = camera
    if set_render_size:
        set_resolution(scene.render, track)
    if footage is not None:
        try:
            notes += add_backdrop(
                camera.data, Path(footage), track.image_size, motions[0].frame_rate, scene.render, start_frame
            )
        except ImportProblem as problem:
            notes.append(
                f"{problem} The motion was imported without it."
            )  # a picture is no reason to lose it
    return camera


def _short(clip: str) -> str:
    """The clip's name, cut so that Blender does not cut off what is added to it."""
    return clip.encode()[: NAME_BYTES - _LONGEST_ENDING].decode(errors="ignore")
