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
from .average_body import on_average_body
from .backdrop import add_backdrop
from .body_file import Body, open_body_path, read_body_file
from .camera import set_resolution
from .clip_camera import clip_camera
from .compat import NAME_BYTES
from .lost_markers import set_markers
from .mesh import build_mesh, rig_of
from .motion_file import CameraTrack, MotionFile, read_motion_file
from .provenance import KEY, identity, provenance, stamp
from .resample import sample_at_scene_frames, scene_rate
from .rest_figure import RestFigure
from .rig import build_armature
from .rollback import undone_on_failure
from .takes import Existing, NewTake, find_earlier, fit_for_take, missing_bones

__all__ = ["ImportProblem", "ImportResult", "import_motion"]

_LONGEST_ENDING = len(".person00.body.000")


@dataclass(frozen=True)
class ImportResult:
    """What an import made.

    Attributes:
        collection: holds what is new; named after the clip.
        armatures: one a person, named ``<clip>.<person>`` unless it was there before.
        meshes: the skinned bodies, in the same order; those of earlier armatures are not made again.
        actions: their motion, in the same order.
        camera: None when there is none in the files, or none was wanted.
        frame_range: first and last keyed scene frame.
        notes: what the user should know, though the import went well.
        changes: what happened to what was there before, in words.
    """

    collection: bpy.types.Collection
    armatures: tuple[bpy.types.Object, ...]
    meshes: tuple[bpy.types.Object, ...]
    actions: tuple[bpy.types.Action, ...]
    camera: bpy.types.Object | None
    frame_range: tuple[int, int]
    notes: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()


def import_motion(
    context: bpy.types.Context,
    motion_paths: Sequence[str | Path],
    *,
    footage: str | Path | None = None,
    body_path: str | Path | None = None,
    start_frame: int | None = None,
    use_camera: bool = True,
    set_render_size: bool = False,
    existing: Existing = "NEW",
    use_nla: bool = False,
    average_body: bool = False,
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
        existing: for people who are in the scene already: NEW makes another armature beside, REPLACE gives
            the armature the new motion and keeps the old action, STACK also keeps that in a muted NLA track.
        use_nla: put the motion into an NLA strip.
        average_body: give everyone the body's average shape, and a way that fits its legs.

    Raises:
        ImportProblem: a file cannot be used; nothing has changed then.
    """
    notes: list[str] = []
    motions = _read_motions([Path(path) for path in motion_paths])
    bodies = _bodies(motions, Path(body_path) if body_path else None, notes)
    if average_body:
        motions = [on_average_body(motion, *given) for motion, given in zip(motions, bodies, strict=True)]
        bodies = [(body, np.zeros_like(betas)) for body, betas in bodies]
    scene = context.scene
    start = scene.frame_start if start_frame is None else start_frame
    clip = _short(motions[0].clip)
    origins = [provenance(motion, body) for motion, (body, _) in zip(motions, bodies, strict=True)]
    earlier = _earlier(context, origins, notes) if existing != "NEW" else [None] * len(motions)

    armatures, meshes, actions, frames, changes = [], [], [], [], []
    camera = None
    with undone_on_failure(scene):
        collection = _home(scene, clip, earlier)
        for number, (motion, (body, betas)) in enumerate(zip(motions, bodies, strict=True)):
            name, origin, armature = f"{clip}.{motion.person}", origins[number], earlier[number]
            figure = RestFigure.of(body, betas)
            sampling = sample_at_scene_frames(motion.timestamps, scene_rate(scene), start)
            if armature is None:
                armature = build_armature(context, name, figure, collection)
                meshes.append(build_mesh(f"{name}.body", figure, armature, collection, number))
            else:
                meshes += [thing for thing in armature.children if rig_of(thing) == armature]
                notes += fit_for_take(armature, figure)
            take = NewTake(armature, name, identity(origin))
            actions.append(key_motion(take.channels, motion, figure, armature, sampling))
            changes += take.put_in_place(stack=existing == "STACK", use_nla=use_nla)
            set_markers(scene, armature, name, motion, scene_rate(scene), start)
            armatures.append(armature)
            frames += [int(sampling.frames[0]), int(sampling.frames[-1])]
            for block in (armature, actions[-1], collection):
                if block != scene.collection:
                    stamp(block, origin)
        if use_camera:
            beside = None if existing == "NEW" else identity(origins[0])[0]
            camera, is_new = clip_camera(scene, f"{clip}.camera", motions, start, collection, beside)
            if camera is not None and is_new:
                stamp(camera, origins[0])
                if any(armature is not None for armature in earlier):
                    changes.append(
                        f"{camera.name} is new: this motion was seen by another camera than before."
                    )
                _show_footage(camera, motions, footage, scene, start, notes)
            if camera is not None and set_render_size:
                set_resolution(scene.render, _track(motions))
    context.view_layer.update()
    return ImportResult(
        collection,
        tuple(armatures),
        tuple(meshes),
        tuple(actions),
        camera,
        (min(frames), max(frames)),
        tuple(dict.fromkeys(notes)),
        tuple(changes),
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


def _earlier(
    context: bpy.types.Context, origins: Sequence[dict[str, str]], notes: list[str]
) -> list[bpy.types.Object | None]:
    """For each person the armature that is in the scene already and can take another motion."""
    found: list[bpy.types.Object | None] = []
    for origin in origins:
        armature = find_earlier(context, identity(origin), [thing for thing in found if thing])
        lacking = missing_bones(armature) if armature else []
        if lacking:
            notes.append(
                f"{armature.name} has no bones {', '.join(lacking)} any more: the motion got an armature of "
                "its own beside it."
            )
        found.append(None if lacking else armature)
    return found


def _home(
    scene: bpy.types.Scene, clip: str, earlier: Sequence[bpy.types.Object | None]
) -> bpy.types.Collection:
    """Where new objects go: to the people who are there already, or into a collection for the clip."""
    for armature in earlier:
        if armature is not None:
            ours = [collection for collection in armature.users_collection if KEY in collection]
            return (ours or armature.users_collection)[0]
    collection = bpy.data.collections.new(clip)
    scene.collection.children.link(collection)
    return collection


def _track(motions: Sequence[MotionFile]) -> CameraTrack:
    """What the first person who knows it says of the camera."""
    return next(motion.camera for motion in motions if motion.camera is not None)


def _show_footage(
    camera: bpy.types.Object,
    motions: Sequence[MotionFile],
    footage: str | Path | None,
    scene: bpy.types.Scene,
    start_frame: int,
    notes: list[str],
) -> None:
    """Put the footage behind the camera."""
    if footage is None:
        return
    size, frame_rate = _track(motions).image_size, motions[0].frame_rate
    try:
        notes += add_backdrop(camera.data, Path(footage), size, frame_rate, scene.render, start_frame)
    except ImportProblem as problem:  # a picture is no reason to lose the motion
        notes.append(f"{problem} The motion was imported without it.")


def _short(clip: str) -> str:
    """The clip's name, cut so that Blender does not cut off what is added to it."""
    return clip.encode()[: NAME_BYTES - _LONGEST_ENDING].decode(errors="ignore")
