# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovered rigs in the scene that move in ways that are known: what is retargeted and exported in tests."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import bpy
import numpy as np
from recover_motion.body_file import open_body_path, read_body_file
from recover_motion.import_motion import import_motion
from recover_motion.rest_figure import BLENDER_FROM_BODY, RestFigure
from recover_motion.rig import bone_tails
from recover_motion.rotations import quat_from_matrix, rotvec_from_quat
from recover_motion.skeleton import INDEX
from smpl_reference import motion_arrays, write_motion

from .walk import make_walk


@dataclass(frozen=True)
class Source:
    """A recovered rig that moves.

    Attributes:
        armature: as the add-on imports it.
        mesh: its skin.
        frames: first and last scene frame; T of them, one a sample.
        path: the motion file that it came from.
        contacts: (T, 4) left heel, left toe, right heel, right toe are on the floor: booleans where that is
            known exactly (the walk), 0..1 where it was recovered (the demo); None for random poses.
        points: (T, 4, 3) places of these points in the world; only for the walk. The heel's is carried by
            the ankle's bone, the toe's by the toes' bone.
    """

    armature: bpy.types.Object
    mesh: bpy.types.Object
    frames: tuple[int, int]
    path: Path
    contacts: np.ndarray | None = None
    points: np.ndarray | None = None


def random_poses(folder: Path, seed: int = 0, count: int = 200) -> Source:
    """Poses without any order, the root turned any way at all.

    Args:
        folder: where the motion file is written to.
        seed: of the random numbers.
        count: frames.
    """
    changes = {"betas": np.zeros(10, np.float32)}
    return _imported(write_motion(folder / "random.person01.npz", count=count, seed=seed, **changes))


def walk(folder: Path, count: int = 120) -> Source:
    """A walk at 30 frames a second with known contacts, see `walk.make_walk`.

    Args:
        folder: where the motion file is written to.
        count: frames.
    """
    figure = RestFigure.of(read_body_file(open_body_path()), np.zeros(10))
    tips = bone_tails(figure)[[INDEX["left_foot"], INDEX["right_foot"]]]
    made = make_walk(figure.joints, tips, count)
    turns = BLENDER_FROM_BODY.T @ made.turns @ BLENDER_FROM_BODY
    turns[:, 0] = made.turns[:, 0] @ BLENDER_FROM_BODY
    rest_pelvis = figure.body.rest_joints(figure.betas)[0]
    changes = {
        "poses": rotvec_from_quat(quat_from_matrix(turns)).reshape(count, 72),
        "trans": made.pelvis - rest_pelvis,
        "betas": np.zeros(10, np.float32),
        "contacts": made.contacts.astype(np.float32),
    }
    path = write_motion(folder / "synthetic.person01.npz", count=count, **changes)
    return _imported(path, made.contacts, made.points)


def demo(folder: Path, name: Literal["walk", "jump"] = "walk") -> Source:
    """A motion that the project recovered from real footage, the two people of its demo.

    Args:
        folder: where the motion file is written to.
        name: ``walk``: 5.7 s on level ground. ``jump``: 7.6 s; down from a wall of two metres, and away.
    """
    with np.load(Path(__file__).with_name(f"demo_{name}.npz"), allow_pickle=False) as stored:
        kept = {part: stored[part] for part in stored.files if part not in ("licence", "source")}
    count = len(kept["poses"])
    meta = json.loads(str(motion_arrays(1, 0)["meta"])) | json.loads(str(kept["meta"]))
    kept["meta"] = np.array(json.dumps(meta))
    path = write_motion(folder / f"{name}.person01.npz", count=count, **kept)
    return _imported(path, kept["contacts"])


def _imported(path: Path, contacts: np.ndarray | None = None, points: np.ndarray | None = None) -> Source:
    result = import_motion(bpy.context, [path], body_path=open_body_path(), use_camera=False)
    return Source(result.armatures[0], result.meshes[0], result.frame_range, path, contacts, points)
