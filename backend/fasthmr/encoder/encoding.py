# SPDX-License-Identifier: Apache-2.0
"""What an encoder said about one person: a plain value, frame by frame, and its file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from fasthmr.encoder.config import KINDS
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays

# The arrays: name -> (shape after the frames, kind of number); the token's width is the network's own.
_ARRAYS: Final[dict[str, tuple[tuple[int, ...] | None, type[np.generic]]]] = {
    "frame_indices": ((), np.int64),
    "rotmat": ((24, 3, 3), np.float32),
    "betas": ((10,), np.float32),
    "camera": ((3,), np.float32),
    "token": (None, np.float32),
    "squares": ((3,), np.float32),
    "forced": ((), np.int32),
}


@dataclass(frozen=True, eq=False)
class Encoding:
    """An encoder's output for T frames, those in which the person was seen.

    Args:
        frame_indices: (T,) int64, strictly increasing positions in the whole clip; may skip frames.
        rotmat: (T, 24, 3, 3) float32: the pelvis as the network gives it (in the crop's camera for HMR2.0, in
            the whole picture's for CameraHMR), the other joints in their parents.
        betas: (T, 10) float32, shape.
        camera: (T, 3) float32: s, tx, ty of the crop's weak perspective (see
            :mod:`fasthmr.encoder.crop_camera`).
        token: (T, D) float32, the network's own description of the frame.
        squares: (T, 3) float32: centre x, y and side of the square that the crop was cut from, pixels of the
            image (see :mod:`fasthmr.encoder.crop_geometry`).
        forced: (T,) int32, merges that touched the person because background had run out.
        kind: of the network: "hmr2", "camerahmr" or "open".

    Raises:
        ValueError: arrays that do not fit each other.
    """

    frame_indices: np.ndarray
    rotmat: np.ndarray
    betas: np.ndarray
    camera: np.ndarray
    token: np.ndarray
    squares: np.ndarray
    forced: np.ndarray
    kind: str

    def __post_init__(self) -> None:
        count = len(self.frame_indices)
        for name, (shape, number) in _ARRAYS.items():
            array = getattr(self, name)
            expected = (count, *(array.shape[1:2] if shape is None else shape))
            if array.shape != expected or array.dtype != number or (shape is None and array.ndim != 2):
                wanted = f"({count}, any)" if shape is None else str(expected)
                raise ValueError(f"{name} is {array.dtype} {array.shape}, not {np.dtype(number)} {wanted}")
        if not count or (np.diff(self.frame_indices) <= 0).any():
            raise ValueError("an encoding needs frames, in order of time")
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}, not one of {', '.join(KINDS)}")

    def __len__(self) -> int:
        return len(self.frame_indices)

    def save(self, path: Path) -> None:
        """Write the encoding as ``.npz``, whole or not at all.

        Raises:
            BadInput: the place cannot be written to.
        """
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        save_arrays(Path(path), arrays | {"kind": np.array(self.kind)})

    @classmethod
    def load(cls, path: Path) -> Encoding:
        """Read what :meth:`save` wrote.

        Raises:
            BadInput: the file is missing, damaged, or not such a file.
        """
        arrays = load_arrays(Path(path), "encoding")
        try:
            encoding = cls(**{name: arrays[name] for name in _ARRAYS}, kind=str(arrays["kind"]))
            for name in _ARRAYS:
                if not np.isfinite(arrays[name]).all():
                    raise ValueError(f"{name} holds numbers that are not finite")
        except (KeyError, ValueError, TypeError) as error:
            raise BadInput(
                f"{path}: not an encoding of FastHMR, or damaged ({error}). "
                "Delete it and run the job again; it is made anew from the footage."
            ) from error
        return encoding
