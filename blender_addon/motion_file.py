# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion files: what the backend writes, and the plain AMASS files that other tools write.

Both are .npz archives with AMASS's keys. The world is right-handed, metres, z up; the pelvis stands
at ``trans`` plus the rest pelvis of the body. A recovered file also tells where the camera stood and
how sure each joint is; an AMASS file has none of that, and hands of its own, which are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from .array_file import ImportProblem, read_arrays, single_text
from .skeleton import JOINT_COUNT

SCHEMA_VERSION: Final = 1

# Further than this from the mean (in standard deviations) nobody is; Blender's shape keys end here too.
BETA_LIMIT: Final = 10.0

_SHARED: Final = ("poses", "trans", "betas", "meta")
_FRAME_RATES: Final = ("mocap_framerate", "mocap_frame_rate")  # the second is that of SMPL-X files
_RECOVERED: Final[dict[str, tuple[int | str, ...]]] = {
    "poses": ("T", JOINT_COUNT * 3),
    "trans": ("T", 3),
    "betas": (10,),
    "joints_camera": ("T", JOINT_COUNT, 3),
    "frame_indices": ("T",),
    "timestamps": ("T",),
    "confidence": ("T", JOINT_COUNT),
    "contacts": ("T", 4),
    "boxes": ("T", 4),
    "camera_intrinsics": (3, 3),
    "world_from_camera": ("T", 4, 4),
    "image_size": (2,),
}
_LABELS: Final = ("gender", "surface_model_type")

# The first 22 joints are the body in SMPL, SMPL-H and SMPL-X alike; hands and face come after them.
_BODY_COLUMNS: Final = 22 * 3

_NAME = re.compile(r"(?P<clip>.+)\.(?P<person>person\d+)")


@dataclass(frozen=True)
class CameraTrack:
    """The camera that filmed the motion.

    Attributes:
        intrinsics: (3, 3) pinhole matrix, pixels.
        world_from_camera: (T, 4, 4) rigid; camera axes are OpenCV's (x right, y down, z forward).
        image_size: width and height in pixels.
    """

    intrinsics: np.ndarray
    world_from_camera: np.ndarray
    image_size: tuple[int, int]


@dataclass(frozen=True)
class MotionFile:
    """One person's motion, T samples.

    Attributes:
        path: where it was read from.
        clip: name of the footage, from the file's name.
        person: "person01" and so on, from the file's name.
        poses: (T, 24, 3) axis-angle, radians; the first joint's is its orientation in the world.
        trans: (T, 3) metres; pelvis in the world = trans + rest pelvis (in the body's own axes).
        betas: (10,) body shape.
        timestamps: (T,) seconds since the clip's first frame.
        frame_rate: samples per second, on average.
        confidence: (T, 24) in 0..1, or None when the file does not say.
        camera: the camera, or None when the file does not say.
        meta: provenance; empty for a plain AMASS file.
    """

    path: Path
    clip: str
    person: str
    poses: np.ndarray
    trans: np.ndarray
    betas: np.ndarray
    timestamps: np.ndarray
    frame_rate: float
    confidence: np.ndarray | None = None
    camera: CameraTrack | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def body_name(self) -> str | None:
        """Name of the body that the motion was made with; None when the file does not say."""
        body = self.meta.get("body")
        name = body.get("name") if isinstance(body, Mapping) else body
        return name if isinstance(name, str) else None


def clip_and_person(path: Path) -> tuple[str, str]:
    """Names from ``<clip>.person<NN>.npz``; any other name is a clip with one person."""
    match = _NAME.fullmatch(path.stem)
    return (match["clip"], match["person"]) if match else (path.stem, "person01")


def read_motion_file(path: Path) -> MotionFile:
    """Read and check a motion file.

    Raises:
        ImportProblem: missing, damaged, of a newer schema, or with values that cannot be.
    """
    arrays = read_arrays(path, "motion file", {*_SHARED, *_FRAME_RATES, *_RECOVERED, *_LABELS})
    if "meta" in arrays:
        return _recovered(path, arrays, _read_meta(path, arrays["meta"]))
    return _plain_amass(path, arrays)


def _recovered(path: Path, arrays: Mapping[str, np.ndarray], meta: Mapping[str, Any]) -> MotionFile:
    _require(path, arrays, (*_RECOVERED, *_LABELS, "mocap_framerate"))
    _check_shapes(path, arrays, _RECOVERED)
    timestamps = arrays["timestamps"].astype(np.float64)
    confidence = arrays["confidence"]
    intrinsics = arrays["camera_intrinsics"].astype(np.float64)
    world_from_camera = arrays["world_from_camera"].astype(np.float64)
    rotation = world_from_camera[:, :3, :3]
    wrong = {
        "'frame_indices' are not consecutive": (np.diff(arrays["frame_indices"]) != 1).any(),
        "'timestamps' do not increase": (np.diff(timestamps) <= 0).any(),
        "'confidence' leaves the range 0..1": confidence.min() < 0 or confidence.max() > 1,
        "'image_size' is not positive": (arrays["image_size"] <= 0).any(),
        "'camera_intrinsics' has no positive focal length": min(intrinsics[0, 0], intrinsics[1, 1]) <= 0,
        "'world_from_camera' is not rigid": (
            np.abs(rotation @ rotation.transpose(0, 2, 1) - np.eye(3)).max() > 1e-3
            or (np.linalg.det(rotation) < 0).any()
            or np.abs(world_from_camera[:, 3] - [0, 0, 0, 1]).max() > 1e-6
        ),
    }
    problems = [problem for problem, found in wrong.items() if found]
    if problems:
        raise _damaged(path, problems)
    width, height = (int(size) for size in arrays["image_size"])
    return MotionFile(
        path,
        *clip_and_person(path),
        poses=arrays["poses"].astype(np.float64).reshape(-1, JOINT_COUNT, 3),
        trans=arrays["trans"].astype(np.float64),
        betas=_checked_betas(path, arrays["betas"]),
        timestamps=timestamps,
        frame_rate=_checked_frame_rate(path, arrays),
        confidence=confidence.astype(np.float64),
        camera=CameraTrack(intrinsics, world_from_camera, (width, height)),
        meta=meta,
    )


def _plain_amass(path: Path, arrays: Mapping[str, np.ndarray]) -> MotionFile:
    _require(path, arrays, ("poses", "trans"))
    poses = arrays["poses"]
    if poses.ndim == 2 and poses.shape[1] > _BODY_COLUMNS and poses.shape[1] != JOINT_COUNT * 3:
        poses = np.pad(poses[:, :_BODY_COLUMNS], ((0, 0), (0, JOINT_COUNT * 3 - _BODY_COLUMNS)))
    betas = np.zeros(10) if "betas" not in arrays else np.ravel(arrays["betas"])[:10]
    betas = np.pad(betas, (0, 10 - len(betas)))
    shapes = {name: _RECOVERED[name] for name in ("poses", "trans", "betas")}
    _check_shapes(path, {"poses": poses, "trans": arrays["trans"], "betas": betas}, shapes)
    frame_rate = _checked_frame_rate(path, arrays)
    return MotionFile(
        path,
        *clip_and_person(path),
        poses=poses.astype(np.float64).reshape(-1, JOINT_COUNT, 3),
        trans=arrays["trans"].astype(np.float64),
        betas=_checked_betas(path, betas),
        timestamps=np.arange(len(poses)) / frame_rate,
        frame_rate=frame_rate,
    )


def _read_meta(path: Path, stored: np.ndarray) -> dict[str, Any]:
    """The provenance, with the schema checked before anything else in the file is judged."""
    try:
        meta = json.loads(single_text(stored))
        schema = int(meta["schema"])
    except (ValueError, TypeError, KeyError) as error:
        raise _damaged(path, ["its 'meta' entry cannot be read"]) from error
    if schema > SCHEMA_VERSION:
        raise ImportProblem(
            f"The motion file {path} was written by a newer version (schema {schema}, this add-on reads "
            f"{SCHEMA_VERSION}). Update the add-on to import it."
        )
    return meta


def _require(path: Path, arrays: Mapping[str, np.ndarray], names: tuple[str, ...]) -> None:
    missing = [name for name in names if name not in arrays]
    if missing:
        raise ImportProblem(
            f"{path} is not a motion file: it lacks {', '.join(missing)}. Check that this is the right file."
        )


def _check_shapes(
    path: Path, arrays: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int | str, ...]]
) -> None:
    count = len(arrays["poses"]) if arrays["poses"].ndim else 0
    if count == 0:
        raise _damaged(path, ["it holds no frames"])
    problems = []
    for name, shape in shapes.items():
        array = arrays[name]
        expected = tuple(count if size == "T" else size for size in shape)
        if array.shape != expected:
            problems.append(f"'{name}' has shape {array.shape} instead of {expected}")
        elif array.dtype.kind not in "fiu":
            problems.append(f"'{name}' holds no numbers")
        elif not np.isfinite(array).all():
            problems.append(f"'{name}' holds values that are not finite")
    if problems:
        raise _damaged(path, problems)


def _checked_frame_rate(path: Path, arrays: Mapping[str, np.ndarray]) -> float:
    for name in _FRAME_RATES:
        if name in arrays and arrays[name].size == 1 and arrays[name].dtype.kind in "fiu":
            rate = float(arrays[name].item())
            if np.isfinite(rate) and rate > 0:
                return rate
    raise _damaged(path, ["'mocap_framerate' is not a positive number"])


def _checked_betas(path: Path, betas: np.ndarray) -> np.ndarray:
    if np.abs(betas).max() > BETA_LIMIT:
        raise _damaged(path, [f"'betas' leave the range -{BETA_LIMIT:g}..{BETA_LIMIT:g}"])
    return betas.astype(np.float64)


def _damaged(path: Path, problems: list[str]) -> ImportProblem:
    return ImportProblem(f"The motion file {path} is damaged: {'; '.join(problems)}. Make it again.")
