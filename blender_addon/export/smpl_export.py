# SPDX-License-Identifier: GPL-3.0-or-later
"""An armature in SMPL's layout back to SMPL's numbers, after cleaning and edits: `action` the other way."""

from __future__ import annotations

import json
from pathlib import Path

import bpy
import numpy as np

from ..array_file import ImportProblem
from ..backend_setup import addon_version
from ..body_file import Body, open_body_path, read_body_file
from ..compat import curves_of
from ..confidence import bone_path
from ..motion_file import BETA_LIMIT, SCHEMA_VERSION, read_motion_file
from ..provenance import KEY
from ..rest_figure import BLENDER_FROM_BODY
from ..rotations import quat_from_matrix, rotvec_from_quat
from ..skeleton import JOINT_COUNT, JOINT_NAMES, PARENTS
from .baked_pose import even_scale
from .options import TOLERANCE, ExportOptions, ExportProblem, Format
from .read_back import Checked, ReadBackProblem, in_words
from .sampling import Sampled, scene_of
from .skins import skins_of
from .smpl_files import SmplMotion, joints_in_world, read_smpl, write_motion_file, write_smpl

_FITS = 0.002
"""How far rest joints may be from those of a body for the armature to stand on that body; metres."""

_IMAGE = (1920, 1080)
_FOCAL = 1.1
"""Of the camera that stands in for a missing one: focal length in widths of the picture, a usual lens."""


def export_smpl_motion(
    context: bpy.types.Context,
    armature: bpy.types.Object,
    sampled: Sampled,
    file: Path,
    kind: Format,
    options: ExportOptions,
) -> tuple[Checked | None, list[str]]:
    """Write a motion file or a `.smpl`, and read it back.

    Returns:
        What the check says, and notes.

    Raises:
        ExportProblem: the armature has not SMPL's bones, or not a body's proportions.
        OSError: it cannot be written.
    """
    missing = [name for name in JOINT_NAMES if name not in sampled.names]
    if missing:
        raise ExportProblem(
            f"{armature.name} has no bone {missing[0]}: this format holds SMPL's 24 joints alone. Export the"
            " recovered body, or choose another format."
        )
    try:
        body = read_body_file(options.body or open_body_path())
    except ImportProblem as problem:
        raise ExportProblem(str(problem)) from problem
    order = [sampled.names.index(name) for name in JOINT_NAMES]
    scale = (even_scale(sampled.armature[0]) or 1.0) * sampled.metres
    bones = [armature.data.bones[name] for name in JOINT_NAMES]
    rest = np.array([bone.matrix_local for bone in bones], np.float64)
    betas = _shape(context.scene, armature, body, rest[:, :3, 3] * scale)
    rest_joints = body.rest_joints(betas)
    seen = sampled.bones[:, order]
    heads = seen[..., :3, 3] * sampled.metres
    intrinsics, cameras, size, notes = _camera(context.scene, sampled)
    motion = SmplMotion(
        poses=_poses(seen[..., :3, :3], rest[:, :3, :3]),
        trans=heads[:, 0] - rest_joints[0],
        betas=betas,
        fps=sampled.fps,
        rest_joints=rest_joints,
        confidence=_confidence(armature, sampled.frames),
        intrinsics=intrinsics,
        world_from_camera=cameras,
        image_size=size,
        meta=_meta(armature, body, sampled),
    )
    off = np.linalg.norm(motion.joints - heads, axis=-1)
    if off.max() > TOLERANCE:  # SMPL has rotations alone
        frame, joint = np.unravel_index(int(off.argmax()), off.shape)
        notes.append(
            f"{JOINT_NAMES[joint]} leaves its socket by {1000 * off.max():.1f} mm at frame"
            f" {sampled.frames[frame]}: SMPL knows rotations alone, so that is lost."
        )
    if kind == "AMASS":
        write_motion_file(motion, file)
    else:
        write_smpl(motion, file)
        notes = [note for note in notes if "camera" not in note]
    return (_read_back(file, kind, motion, sampled) if options.check else None), notes


def _poses(turned: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """SMPL's poses (T, 24, 3), see `rest_figure`.

    Args:
        turned: (T, 24, 3, 3) the bones' axes in the world, in SMPL's order.
        rest: (24, 3, 3) at rest.
    """
    turned = turned / np.linalg.norm(turned, axis=-2, keepdims=True)
    turns = turned @ rest.transpose(0, 2, 1)  # of the figure from its rest pose
    local = np.empty_like(turns)
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            local[:, joint] = turns[:, joint] @ BLENDER_FROM_BODY
        else:
            turn = turns[:, parent].transpose(0, 2, 1) @ turns[:, joint]
            local[:, joint] = BLENDER_FROM_BODY.T @ turn @ BLENDER_FROM_BODY
    return rotvec_from_quat(quat_from_matrix(local))


def _shape(scene: bpy.types.Scene, armature: bpy.types.Object, body: Body, heads: np.ndarray) -> np.ndarray:
    """The betas (10,) with which a body has an armature's rest joints (24, 3), metres.

    Raises:
        ExportProblem: it has none.
    """
    wanted = (heads - heads[0]) @ BLENDER_FROM_BODY
    mean = body.rest_joints(np.zeros(10))
    directions = np.einsum("jv,vdk->jdk", body.joint_regressor, body.shape_directions)
    directions = (directions - directions[0]).reshape(-1, directions.shape[-1])
    fitted = np.linalg.lstsq(directions, (wanted - (mean - mean[0])).ravel(), rcond=1e-6)[0]
    for betas in (_sliders(scene, armature), fitted):
        if betas is None or np.abs(betas).max() > BETA_LIMIT:
            continue
        joints = body.rest_joints(betas)
        if np.linalg.norm(joints - joints[0] - wanted, axis=1).max() < _FITS:
            return betas
    raise ExportProblem(
        f'{armature.name} does not have the proportions of the body "{body.name}". If its motion was made on'
        " another body, choose that body's file; if its bones were moved or scaled, choose another format."
    )


def _sliders(scene: bpy.types.Scene, armature: bpy.types.Object) -> np.ndarray | None:
    """The shape that the imported skin says it has; None when there is no such skin."""
    for mesh in skins_of(scene, armature):
        keys = mesh.data.shape_keys.key_blocks if mesh.data.shape_keys else {}
        values = [keys[f"Shape{index:03d}"].value for index in range(10) if f"Shape{index:03d}" in keys]
        if len(values) == 10:
            return np.array(values)
    return None


def _confidence(armature: bpy.types.Object, frames: np.ndarray) -> np.ndarray:
    """How sure each joint is (T, 24), where the action tells; 1 elsewhere."""
    curves = {curve.data_path: curve for curve in curves_of(armature)}
    values = np.ones((len(frames), JOINT_COUNT))
    for joint, name in enumerate(JOINT_NAMES):
        curve = curves.get(bone_path(name))
        if curve is not None:
            values[:, joint] = [curve.evaluate(frame) for frame in frames.tolist()]
    return values.clip(0, 1)


def _camera(
    scene: bpy.types.Scene, sampled: Sampled
) -> tuple[np.ndarray, np.ndarray, tuple[int, int], list[str]]:
    """Intrinsics, world_from_camera (T, 4, 4), picture size, notes: of the scene's camera if any."""
    count = len(sampled.frames)
    camera = scene.camera
    if camera is None or camera.type != "CAMERA" or camera.data.type != "PERSP":
        matrix = np.eye(4)
        matrix[:3, :3] = BLENDER_FROM_BODY @ np.diag([1.0, -1.0, -1.0])
        matrix[:3, 3] = sampled.heads[0].mean(axis=0) + np.array([0, -4.0, 0])
        width, height = _IMAGE
        focal = _FOCAL * width
        still = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        note = "The scene has no camera: the file tells of one that stands 4 m before the first pose."
        return still, np.tile(matrix, (count, 1, 1)), _IMAGE, [note]
    render = scene.render
    width, height = (
        round(side * render.resolution_percentage / 100)
        for side in (render.resolution_x, render.resolution_y)
    )
    matrices = np.empty((count, 4, 4))
    with scene_of([camera], scene, sampled.range) as place:
        graph = place.view_layers[0].depsgraph
        for index, frame in enumerate(sampled.frames.tolist()):
            place.frame_set(frame)
            graph = place.view_layers[0].depsgraph
            matrices[index] = camera.evaluated_get(graph).matrix_world
        lens = np.array(
            camera.calc_matrix_camera(
                graph, x=width, y=height, scale_x=render.pixel_aspect_x, scale_y=render.pixel_aspect_y
            )
        )
    matrices[:, :3, :3] /= np.linalg.norm(matrices[:, :3, :3], axis=1, keepdims=True)
    matrices[:, :3, :3] *= np.array([1.0, -1.0, -1.0])
    matrices[:, :3, 3] *= sampled.metres
    intrinsics = np.array(
        [
            [lens[0, 0] * width / 2, 0, (1 - lens[0, 2]) * width / 2],
            [0, lens[1, 1] * height / 2, (1 + lens[1, 2]) * height / 2],
            [0, 0, 1],
        ]
    )
    return intrinsics, matrices, (width, height), []


def _meta(armature: bpy.types.Object, body: Body, sampled: Sampled) -> dict[str, object]:
    """Where the motion comes from, as far as the armature tells, and that it was exported."""
    origin = armature[KEY].to_dict() if KEY in armature else {}
    known: dict[str, object] = {}
    for name, value in origin.items():
        try:
            known[name] = json.loads(value)
        except ValueError:
            known[name] = value
    exported = {"action": sampled.action, "frames": list(sampled.range), "version": addon_version()}
    return {**known, "schema": SCHEMA_VERSION, "body": known.get("body", body.name), "exported": exported}


def _read_back(file: Path, kind: Format, motion: SmplMotion, sampled: Sampled) -> Checked:
    """Compare the joints of a file with those that were written.

    Raises:
        ReadBackProblem: they are not the same.
    """
    try:
        if kind == "AMASS":
            read = read_motion_file(file)
            poses, trans, fps = read.poses, read.trans, read.frame_rate
        else:
            poses, trans, fps = read_smpl(file)
    except (ImportProblem, OSError, ValueError, KeyError) as error:
        raise ReadBackProblem(f"{file.name} was written, but cannot be read: {error}") from error
    if len(poses) != len(motion.poses) or abs(fps - motion.fps) > 1e-6 * motion.fps:
        raise ReadBackProblem(
            f"{file.name} holds {len(poses)} frames at {fps:g} fps instead of {len(motion.poses)} at"
            f" {motion.fps:g}."
        )
    off = np.linalg.norm(joints_in_world(poses, trans, motion.rest_joints) - motion.joints, axis=-1)
    if not off.max() <= TOLERANCE:
        frame, joint = np.unravel_index(int(np.nan_to_num(off, nan=1e9).argmax()), off.shape)
        raise ReadBackProblem(
            f"{file.name} does not read back: {JOINT_NAMES[joint]} is {1000 * off[frame, joint]:.1f} mm off"
            f" at frame {sampled.frames[frame]}."
        )
    return Checked(float(off.max()), in_words(len(poses), fps, float(off.max()), "joints"))
