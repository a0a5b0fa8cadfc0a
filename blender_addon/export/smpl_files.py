# SPDX-License-Identifier: GPL-3.0-or-later
"""A motion in SMPL's layout as files: the motion file that this add-on imports, and Meshcapade's `.smpl`.

Needs numpy alone. `.smpl` is an .npz archive whose arrays are named in camel case; the version and the
numbers of body model and gender are those of the package smplcodec, with which the tests read it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from ..rotations import matrix_from_rotvec
from ..skeleton import JOINT_COUNT, PARENTS

_CODEC_VERSION: Final = 2
_SMPL: Final = 0
_GENDERS: Final = ("neutral", "male", "female")


@dataclass(frozen=True)
class SmplMotion:
    """One person's motion in SMPL's layout, T frames, as the motion file has it.

    Attributes:
        poses: (T, 24, 3) axis-angle, radians; the first joint's is its orientation in the world.
        trans: (T, 3) metres; pelvis in the world = trans + rest pelvis.
        betas: (10,) body shape.
        fps: frames per second.
        rest_joints: (24, 3) of that shape, in the body's own axes.
        confidence: (T, 24) in 0..1.
        intrinsics: (3, 3) of the camera, pixels.
        world_from_camera: (T, 4, 4); camera axes are OpenCV's.
        image_size: width and height, pixels.
        meta: where it comes from.
        gender: SMPL's label of the body.
    """

    poses: np.ndarray
    trans: np.ndarray
    betas: np.ndarray
    fps: float
    rest_joints: np.ndarray
    confidence: np.ndarray
    intrinsics: np.ndarray
    world_from_camera: np.ndarray
    image_size: tuple[int, int]
    meta: Mapping[str, Any]
    gender: str = "neutral"

    @property
    def joints(self) -> np.ndarray:
        """(T, 24, 3) joints in the world, metres."""
        return joints_in_world(self.poses, self.trans, self.rest_joints)


def joints_in_world(poses: np.ndarray, trans: np.ndarray, rest_joints: np.ndarray) -> np.ndarray:
    """Forward kinematics: joints (T, 24, 3) in the world, metres.

    Args:
        poses: (T, 24, 3) axis-angle.
        trans: (T, 3).
        rest_joints: (24, 3) in the body's own axes.
    """
    local = matrix_from_rotvec(poses)
    joints = np.empty(poses.shape)
    turns = np.empty_like(local)
    for joint, parent in enumerate(PARENTS):
        if parent < 0:
            joints[:, joint], turns[:, joint] = trans + rest_joints[joint], local[:, joint]
        else:
            bone = rest_joints[joint] - rest_joints[parent]
            joints[:, joint] = joints[:, parent] + turns[:, parent] @ bone
            turns[:, joint] = turns[:, parent] @ local[:, joint]
    return joints


def write_motion_file(motion: SmplMotion, path: Path) -> None:
    """Write the AMASS keys, and those beside them that this project's motion files have.

    Contacts are not known in an edited motion: they are 0.

    Raises:
        OSError: it cannot be written.
    """
    count = len(motion.poses)
    camera_from_world = np.linalg.inv(motion.world_from_camera)
    joints = motion.joints
    seen = np.einsum("tij,tkj->tki", camera_from_world[:, :3, :3], joints) + camera_from_world[:, None, :3, 3]
    with path.open("wb") as stream:
        np.savez(
            stream,
            poses=motion.poses.reshape(count, JOINT_COUNT * 3).astype(np.float32),
            trans=motion.trans.astype(np.float32),
            betas=motion.betas.astype(np.float32),
            gender=np.array(motion.gender),
            mocap_framerate=np.float64(motion.fps),
            surface_model_type=np.array("smpl"),
            joints_camera=seen.astype(np.float32),
            frame_indices=np.arange(count, dtype=np.int64),
            timestamps=np.arange(count) / motion.fps,
            confidence=motion.confidence.astype(np.float32),
            contacts=np.zeros((count, 4), np.float32),
            boxes=_boxes(seen, motion.intrinsics, motion.image_size).astype(np.float32),
            camera_intrinsics=motion.intrinsics.astype(np.float64),
            world_from_camera=motion.world_from_camera.astype(np.float64),
            image_size=np.array(motion.image_size, np.int64),
            meta=np.array(json.dumps(motion.meta, ensure_ascii=False, sort_keys=True)),
        )


def write_smpl(motion: SmplMotion, path: Path) -> None:
    """Write a `.smpl` file; z up and metres, as smplcodec itself keeps AMASS files.

    Raises:
        OSError: it cannot be written.
    """
    arrays = {
        "codecVersion": np.int32(_CODEC_VERSION),
        "smplVersion": np.int32(_SMPL),
        "gender": np.int32(_GENDERS.index(motion.gender) if motion.gender in _GENDERS else 0),
        "shapeParameters": motion.betas.astype(np.float32),
        "frameCount": np.int32(len(motion.poses)),
        "frameRate": np.float32(motion.fps),
        "bodyTranslation": motion.trans.astype(np.float32),
        "bodyPose": motion.poses.astype(np.float32),
    }
    with path.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def read_smpl(path: Path) -> tuple[np.ndarray, np.ndarray, float]:
    """Poses (T, 24, 3), translations (T, 3) and frames per second of a `.smpl` file.

    Raises:
        OSError, ValueError, KeyError: it is not one.
    """
    with np.load(path, allow_pickle=False) as stored:
        return (
            stored["bodyPose"].astype(np.float64),
            stored["bodyTranslation"].astype(np.float64),
            float(stored["frameRate"]),
        )


def _boxes(seen: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Boxes (T, 4) around the joints in the picture: x0 y0 x1 y1, pixels; all of it behind the camera.

    Args:
        seen: (T, 24, 3) joints in the camera.
        intrinsics: (3, 3).
        size: of the picture.
    """
    depth = np.maximum(seen[..., 2:], 1e-3)
    pixels = seen[..., :2] / depth * np.diag(intrinsics)[:2] + intrinsics[:2, 2]
    boxes = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
    boxes[seen[..., 2].min(axis=1) <= 0] = (0, 0, *size)
    return boxes
