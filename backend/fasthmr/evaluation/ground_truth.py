# SPDX-License-Identifier: Apache-2.0
"""The truth of a rendered clip: one person, frame by frame, kept beside the clip as ``<clip>.truth.npz``.

The camera frame is OpenCV's; the world is right-handed, metres, z up, floor at z = 0. The body is the
open body.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import JOINT_COUNT
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays

# dtype and shape of every array but the two names; T stands for the number of frames
_LAYOUT: Final[dict[str, tuple[type, tuple[int | str, ...]]]] = {
    "image_size": (np.int64, (2,)),
    "intrinsics": (np.float64, (3, 3)),
    "camera_from_world": (np.float64, ("T", 4, 4)),
    "rotations": (np.float32, ("T", JOINT_COUNT, 3, 3)),
    "pelvis": (np.float64, ("T", 3)),
    "betas": (np.float32, (10,)),
    "contacts": (np.float32, ("T", 4)),
    "visible": (np.bool_, ("T",)),
}
_NAMES: Final = ("clip", "set_up")
# A rotation kept in 32 bits is this close to orthonormal.
_RIGID: Final = 1e-3


@dataclass(frozen=True)
class GroundTruth:
    """What a rendered clip shows, T frames.

    Attributes:
        clip: name of the motion that was filmed.
        set_up: how it was filmed.
        frame_rate: frames per second; frame t is at t / frame_rate seconds.
        image_size: (2,) int64, width and height.
        intrinsics: (3, 3) float64, pixels.
        camera_from_world: (T, 4, 4) float64, rigid.
        rotations: (T, 24, 3, 3) float32 relative to the parent; the pelvis's is in the camera frame.
        pelvis: (T, 3) float64, metres, the pelvis joint in the camera frame.
        betas: (10,) float32 shape of the open body.
        contacts: (T, 4) float32, 0 or 1: left heel, left toe, right heel, right toe.
        visible: (T,) bool, whether the person is in the picture.
    """

    clip: str
    set_up: str
    frame_rate: float
    image_size: np.ndarray
    intrinsics: np.ndarray
    camera_from_world: np.ndarray
    rotations: np.ndarray
    pelvis: np.ndarray
    betas: np.ndarray
    contacts: np.ndarray
    visible: np.ndarray

    def __post_init__(self) -> None:
        for name, (dtype, _) in _LAYOUT.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))

    @property
    def frame_count(self) -> int:
        """Number of frames T."""
        return len(self.pelvis)

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """(T,) seconds since the first frame."""
        return np.arange(self.frame_count) / self.frame_rate

    def joints(self, body: BodyModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Joints (T, 24, 3) in metres and global rotations (T, 24, 3, 3), in the camera frame.

        Args:
            body: the open body.
        """
        betas = torch.from_numpy(self.betas)
        joints, turns = body.joints(torch.from_numpy(self.rotations), betas)
        found = joints.numpy().astype(np.float64)
        return found - found[:, :1] + self.pelvis[:, None], turns.numpy().astype(np.float64)

    def joints_world(self, body: BodyModel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Joints (T, 24, 3) in metres and global rotations (T, 24, 3, 3), in the world."""
        joints, turns = self.joints(body)
        world_from_camera = self.camera_from_world[:, :3, :3].transpose(0, 2, 1)
        return self.to_world(joints), world_from_camera[:, None] @ turns

    def vertices(self, body: BodyModel, frames: np.ndarray) -> NDArray[np.float64]:
        """Vertices (N, V, 3) in metres in the camera frame.

        Args:
            body: the open body.
            frames: (N,) numbers of frames; 0.5 MB a frame.
        """
        rotations = torch.from_numpy(self.rotations[frames])
        skin, joints = body.vertices(rotations, torch.from_numpy(self.betas))
        moved = (skin - joints[:, :1]).numpy().astype(np.float64)
        return moved + self.pelvis[frames][:, None]

    def vertices_world(self, body: BodyModel, frames: np.ndarray) -> NDArray[np.float64]:
        """Vertices (N, V, 3) in metres in the world."""
        return self.to_world(self.vertices(body, frames), frames)

    def to_world(self, points: np.ndarray, frames: np.ndarray | None = None) -> NDArray[np.float64]:
        """Carry points (N, P, 3) of the camera frame into the world.

        Args:
            points: metres.
            frames: (N,) the frames that they belong to; all of them when left out.
        """
        camera = self.camera_from_world if frames is None else self.camera_from_world[frames]
        return (points - camera[:, None, :3, 3]) @ camera[:, :3, :3]

    def problems(self) -> list[str]:
        """What is wrong with the values, in words; empty when the truth can be used."""
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
        if not (np.isfinite(self.frame_rate) and self.frame_rate > 0):
            found.append("'frame_rate' is not a positive number")
        if self.image_size.min() <= 0:
            found.append("'image_size' is not positive")
        for name, turns in (
            ("camera_from_world", self.camera_from_world[:, :3, :3]),
            ("rotations", self.rotations),
        ):
            if np.abs(turns @ turns.swapaxes(-1, -2) - np.eye(3)).max() > _RIGID:
                found.append(f"'{name}' holds matrices that are no rotations")
        return found

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            ValueError: the truth is not valid; nothing is written.
            BadInput: the place cannot be written to.
        """
        problems = self.problems()
        if problems:
            raise ValueError(f"This truth is not valid: {'; '.join(problems)}.")
        arrays: dict[str, np.ndarray] = {name: getattr(self, name) for name in _LAYOUT}
        arrays |= {name: np.array(getattr(self, name)) for name in (*_NAMES, "frame_rate")}
        save_arrays(Path(path), arrays)

    @classmethod
    def load(cls, path: Path) -> GroundTruth:
        """Read and check a file of truth.

        Raises:
            BadInput: missing, damaged, or with values that cannot be.
        """
        path = Path(path)
        arrays = load_arrays(path, "file of truth")
        missing = [name for name in (*_NAMES, "frame_rate", *_LAYOUT) if name not in arrays]
        if missing:
            raise BadInput(
                f"{path} is not a file of truth: it lacks {', '.join(missing)}. "
                "Render the footage again, or check that this is the right file."
            )
        try:
            truth = cls(
                clip=str(arrays["clip"]),
                set_up=str(arrays["set_up"]),
                frame_rate=float(arrays["frame_rate"]),
                **{name: arrays[name] for name in _LAYOUT},
            )
            problems = truth.problems()
        except (TypeError, ValueError) as error:
            raise BadInput(f"{path} holds values of a wrong kind ({error}). Render it again.") from error
        if problems:
            raise BadInput(f"The truth {path} is damaged: {'; '.join(problems)}. Render it again.")
        return truth
