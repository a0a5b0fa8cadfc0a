# SPDX-License-Identifier: Apache-2.0
"""The motion of one person in a metric world, and the files it is kept in.

The file is an AMASS ``.npz`` (so that other SMPL tools read it) with more arrays beside AMASS's
own: where the camera stood, which frames of the footage it belongs to, how sure each joint is. The
world is right-handed, metres, z up, floor at z = 0. ``trans`` is AMASS's: the pelvis in the world
is ``trans`` plus the rest pelvis of that body.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

import numpy as np

from fasthmr.body.skeleton import JOINT_COUNT
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays, written_whole

SCHEMA_VERSION: Final = 1

# dtype and shape of every array; T stands for the number of frames
_LAYOUT: Final[dict[str, tuple[type, tuple[int | str, ...]]]] = {
    "poses": (np.float32, ("T", JOINT_COUNT * 3)),
    "trans": (np.float32, ("T", 3)),
    "betas": (np.float32, (10,)),
    "joints_camera": (np.float32, ("T", JOINT_COUNT, 3)),
    "frame_indices": (np.int64, ("T",)),
    "timestamps": (np.float64, ("T",)),
    "confidence": (np.float32, ("T", JOINT_COUNT)),
    "contacts": (np.float32, ("T", 4)),
    "boxes": (np.float32, ("T", 4)),
    "camera_intrinsics": (np.float64, (3, 3)),
    "world_from_camera": (np.float64, ("T", 4, 4)),
    "image_size": (np.int64, (2,)),
}


@dataclass(frozen=True)
class Motion:
    """One person's motion, T consecutive frames.

    Attributes:
        poses: (T, 72) float32, axis-angle of the 24 joints; the first is the orientation in the world.
        trans: (T, 3) float32, metres; pelvis in the world = trans + rest pelvis of the body.
        betas: (10,) float32, body shape.
        joints_camera: (T, 24, 3) float32, metres in the camera frame (OpenCV).
        frame_indices: (T,) int64, frame numbers of the footage, one after the other.
        timestamps: (T,) float64, seconds since the footage's first frame.
        confidence: (T, 24) float32 in 0..1.
        contacts: (T, 4) float32 in 0..1: left heel, left toe, right heel, right toe on the floor.
        boxes: (T, 4) float32, x0 y0 x1 y1 in pixels.
        camera_intrinsics: (3, 3) float64, pixels.
        world_from_camera: (T, 4, 4) float64, rigid.
        image_size: (2,) int64, width and height.
        mocap_framerate: frames per second.
        meta: provenance: schema, version, model, body, settings, footage name and sha256, licences.
        gender: SMPL's label of the body.
        surface_model_type: AMASS's label of the layout.
    """

    poses: np.ndarray
    trans: np.ndarray
    betas: np.ndarray
    joints_camera: np.ndarray
    frame_indices: np.ndarray
    timestamps: np.ndarray
    confidence: np.ndarray
    contacts: np.ndarray
    boxes: np.ndarray
    camera_intrinsics: np.ndarray
    world_from_camera: np.ndarray
    image_size: np.ndarray
    mocap_framerate: float
    meta: Mapping[str, Any] = field(default_factory=dict)
    gender: str = "neutral"
    surface_model_type: str = "smpl"

    def __post_init__(self) -> None:
        for name, (dtype, _) in _LAYOUT.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))
        object.__setattr__(self, "meta", {"schema": SCHEMA_VERSION, **self.meta})

    @property
    def frame_count(self) -> int:
        """Number of frames T."""
        return len(self.poses)

    def problems(self) -> list[str]:
        """What is wrong with the values, in words; empty when the motion is valid."""
        found = []
        for name, (_, shape) in _LAYOUT.items():
            array = getattr(self, name)
            expected = tuple(self.frame_count if size == "T" else size for size in shape)
            if array.shape != expected:
                found.append(f"'{name}' has shape {array.shape} instead of {expected}")
            elif not np.isfinite(array).all():
                found.append(f"'{name}' holds values that are not finite")
        if found:
            return found
        if self.frame_count == 0:
            return ["it holds no frames"]
        if (np.diff(self.frame_indices) != 1).any():
            found.append("'frame_indices' are not consecutive")
        if (np.diff(self.timestamps) <= 0).any():
            found.append("'timestamps' do not increase")
        for name in ("confidence", "contacts"):
            array = getattr(self, name)
            if array.min() < 0 or array.max() > 1:
                found.append(f"'{name}' leaves the range 0..1")
        if not (np.isfinite(self.mocap_framerate) and self.mocap_framerate > 0):
            found.append("'mocap_framerate' is not a positive number")
        if self.image_size.min() <= 0:
            found.append("'image_size' is not positive")
        if self.camera_intrinsics[0, 0] <= 0 or self.camera_intrinsics[1, 1] <= 0:
            found.append("'camera_intrinsics' has no positive focal length")
        rotation = self.world_from_camera[:, :3, :3]
        if np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max() > 1e-4:
            found.append("'world_from_camera' is not rigid")
        return found

    def save(self, path: Path) -> None:
        """Write the motion file, whole or not at all.

        Raises:
            ValueError: the motion is not valid; nothing is written.
            BadInput: the place cannot be written to.
        """
        problems = self.problems()
        if problems:
            raise ValueError(f"This motion is not valid: {'; '.join(problems)}.")
        arrays: dict[str, np.ndarray] = {name: getattr(self, name) for name in _LAYOUT}
        arrays["mocap_framerate"] = np.float64(self.mocap_framerate)  # type: ignore[assignment]
        arrays["gender"] = np.array(self.gender)
        arrays["surface_model_type"] = np.array(self.surface_model_type)
        arrays["meta"] = np.array(json.dumps(self.meta, ensure_ascii=False, sort_keys=True))
        save_arrays(Path(path), arrays)

    @classmethod
    def load(cls, path: Path) -> Motion:
        """Read and check a motion file.

        Raises:
            BadInput: missing, damaged, of a newer schema, or with values that cannot be.
        """
        path = Path(path)
        arrays = load_arrays(path, "motion file")
        meta = _read_meta(arrays, path)
        names = [item.name for item in fields(cls)]
        missing = [name for name in names if name not in arrays]
        if missing:
            raise BadInput(
                f"{path} is not a motion file of this program: it lacks {', '.join(missing)}. "
                "Recover the motion again, or check that this is the right file."
            )
        try:
            motion = cls(
                **{name: arrays[name] for name in _LAYOUT},
                mocap_framerate=float(arrays["mocap_framerate"]),
                gender=str(arrays["gender"]),
                surface_model_type=str(arrays["surface_model_type"]),
                meta=meta,
            )
        except (TypeError, ValueError) as error:
            raise BadInput(
                f"The motion file {path} holds values of a wrong kind ({error}). Make it again."
            ) from error
        problems = motion.problems()
        if problems:
            raise BadInput(f"The motion file {path} is damaged: {'; '.join(problems)}. Make it again.")
        return motion


def _read_meta(arrays: Mapping[str, np.ndarray], path: Path) -> dict[str, Any]:
    """The provenance of a motion file, with its schema checked first of all."""
    if "meta" not in arrays:
        raise BadInput(
            f"{path} is not a motion file of this program: it lacks 'meta'. "
            "Recover the motion again, or check that this is the right file."
        )
    try:
        meta = json.loads(str(arrays["meta"]))
        schema = int(meta["schema"])
    except (ValueError, TypeError, KeyError) as error:
        raise BadInput(f"The motion file {path} has a damaged 'meta' entry. Make it again.") from error
    if schema > SCHEMA_VERSION:
        raise BadInput(
            f"The motion file {path} was written by a newer version (schema {schema}, this one reads "
            f"{SCHEMA_VERSION}). Update FastHMR to open it."
        )
    return meta


def export_smpl(motion: Motion, path: Path) -> None:
    """Write Meshcapade's ``.smpl`` through its own codec, whole or not at all.

    The world stays as it is (z up, metres), as the codec itself does with AMASS files.

    Raises:
        BadInput: the place cannot be written to.
    """
    from smplcodec import SMPLCodec, SMPLGender, SMPLVersion  # imported late: it configures logging

    codec = SMPLCodec(
        smpl_version=SMPLVersion.SMPL,
        gender=SMPLGender.from_string(motion.gender),
        shape_parameters=motion.betas.astype(np.float32),
        frame_count=motion.frame_count,
        frame_rate=float(motion.mocap_framerate),
        body_translation=motion.trans,
        body_pose=motion.poses.reshape(-1, JOINT_COUNT, 3),
    )
    with written_whole(Path(path)) as stream:
        codec.write_to_buffer(stream)
