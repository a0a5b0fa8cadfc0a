# SPDX-License-Identifier: Apache-2.0
"""What is known of one person before the decoder, and what the decoder makes of it.

:class:`Evidence` is the value between perception or an encoder and the decoder: one entry for
every frame from the first to the last in which the person was seen. A frame in which the person was
lost has visibility 0, so that decoders see gaps as missing evidence and never as missing time.
:class:`BodyEstimate` is what every decoder gives back, in the camera's frame.

Frames: camera space is OpenCV's (x right, y down, z forward), metres. Images are in pixels.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fasthmr.body.skeleton import JOINT_COUNT
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays

if TYPE_CHECKING:
    from fasthmr.people import People, Track


@dataclass(frozen=True)
class Evidence:
    """Everything measured of one person, T consecutive frames.

    Attributes:
        frame_indices: (T,) int64, the clip's frame numbers, one after the other.
        timestamps: (T,) float64, seconds since the clip's first frame, strictly increasing.
        boxes: (T, 4) float32, x0 y0 x1 y1 in pixels; interpolated over gaps.
        image_size: width and height in pixels.
        frame_rate: average frames per second.
        intrinsics: (3, 3) float64 camera matrix.
        landmarks_image: (T, 33, 3) float32, x and y in pixels, depth in pixels from the mid-hips.
        landmarks_world: (T, 33, 3) float32, metres, camera axes, origin between the hips.
        visibility: (T, 33) float32, 0 (not seen) to 1; 0 in gaps.
        rotations: (T, 24, 3, 3) float32 or None, an encoder's joint rotations (root in the camera).
        joints: (T, 24, 3) float32 or None, an encoder's joints, pelvis at the origin, metres.
        betas: (T, 10) float32 or None, an encoder's body shape a frame.
        joint_confidence: (T, 24) float32 or None, how far the encoder's joints are to be believed.
        token: (T, D) float32 or None, the encoder's own description of the frame.
    """

    frame_indices: np.ndarray
    timestamps: np.ndarray
    boxes: np.ndarray
    image_size: tuple[int, int]
    frame_rate: float
    intrinsics: np.ndarray
    landmarks_image: np.ndarray
    landmarks_world: np.ndarray
    visibility: np.ndarray
    rotations: np.ndarray | None = None
    joints: np.ndarray | None = None
    betas: np.ndarray | None = None
    joint_confidence: np.ndarray | None = None
    token: np.ndarray | None = None

    @property
    def frame_count(self) -> int:
        """Number of frames T, gaps included."""
        return len(self.frame_indices)

    @property
    def seen(self) -> np.ndarray:
        """(T,) bool: frames in which perception found the person."""
        return self.visibility.max(axis=1) > 0

    @classmethod
    def from_track(cls, track: Track, people: People, intrinsics: np.ndarray) -> Evidence:
        """Spread a track over every frame of its span.

        Args:
            track: the person; its frames may have gaps.
            people: the clip it was found in, for the times of the frames in the gaps.
            intrinsics: (3, 3) camera matrix in pixels.
        """
        inside = (people.frame_indices >= track.frame_indices[0]) & (
            people.frame_indices <= track.frame_indices[-1]
        )
        frame_indices = people.frame_indices[inside]
        timestamps = people.timestamps[inside]
        rows = np.searchsorted(frame_indices, track.frame_indices)

        def spread(values: np.ndarray) -> np.ndarray:
            """Place the seen rows; the gaps are filled by linear interpolation in time."""
            flat = values.reshape(len(values), -1)
            full = np.stack(
                [np.interp(timestamps, track.timestamps, column) for column in flat.T.astype(np.float64)],
                axis=1,
            )
            return full.reshape(len(timestamps), *values.shape[1:]).astype(np.float32)

        visibility = np.zeros((len(timestamps), track.visibility.shape[1]), np.float32)
        visibility[rows] = track.visibility
        return cls(
            frame_indices=frame_indices.astype(np.int64),
            timestamps=timestamps.astype(np.float64),
            boxes=spread(track.boxes),
            image_size=(int(people.image_size[0]), int(people.image_size[1])),
            frame_rate=float(people.frame_rate),
            intrinsics=np.asarray(intrinsics, np.float64),
            landmarks_image=spread(track.landmarks_image),
            landmarks_world=spread(track.landmarks_world),
            visibility=visibility,
        )


@dataclass(frozen=True)
class BodyEstimate:
    """One person's body in the camera's frame, T consecutive frames.

    Attributes:
        rotations: (T, 24, 3, 3) float32; the root's in the camera frame, the others' in their
            parent's.
        betas: (10,) float32, one body shape for the person.
        translation: (T, 3) float32, metres: camera joints = forward kinematics + translation.
        joints: (T, 24, 3) float32, metres in the camera frame.
        confidence: (T, 24) float32, 0..1, how well each joint was seen.
        up: (T, 3) float32 or None, unit vectors against gravity in the camera frame.
        contacts: (T, 4) float32 or None, 0..1: how likely the left heel, left toe, right heel and right
            toe stand on something.
    """

    rotations: np.ndarray
    betas: np.ndarray
    translation: np.ndarray
    joints: np.ndarray
    confidence: np.ndarray
    up: np.ndarray | None = None
    contacts: np.ndarray | None = None

    def save(self, path: Path) -> None:
        """Write the estimate as ``.npz``, whole or not at all; what is None is left out."""
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        save_arrays(path, {name: array for name, array in arrays.items() if array is not None})

    @classmethod
    def load(cls, path: Path) -> BodyEstimate:
        """Read what :meth:`save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or lacks an array of the right shape.
        """
        arrays = load_arrays(path, "body estimate")
        needed = [field.name for field in fields(cls) if field.default is MISSING]
        if missing := [name for name in needed if name not in arrays]:
            raise BadInput(f"The body estimate {path} lacks {', '.join(missing)}. Run the job again.")
        estimate = cls(**{field.name: arrays[field.name] for field in fields(cls) if field.name in arrays})
        count = len(estimate.rotations)
        expected = {
            "rotations": (count, JOINT_COUNT, 3, 3),
            "betas": (10,),
            "translation": (count, 3),
            "joints": (count, JOINT_COUNT, 3),
            "confidence": (count, JOINT_COUNT),
            "up": (count, 3),
            "contacts": (count, 4),
        }
        for name, shape in expected.items():
            array = getattr(estimate, name)
            if array is not None and (array.shape != shape or not np.isfinite(array).all()):
                raise BadInput(f"The body estimate {path} has a damaged '{name}'. Run the job again.")
        return estimate
