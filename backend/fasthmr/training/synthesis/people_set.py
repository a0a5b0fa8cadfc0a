# SPDX-License-Identifier: Apache-2.0
"""Synthetic people as a folder of shards: crops, masks and the truth, read where they lie.

A shard is a folder ``shard0000`` of ``.npy`` files, one for each field of :class:`PeopleBatch`. It is
written beside its place and renamed when it is whole, so that a set can be read while it grows.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.encoder.crop_geometry import CROP_SIDE, SEEN_COLUMNS
from fasthmr.errors import BadInput

#: Samples of a shard.
SHARD: Final = 512
# Every eighth shard is held out.
_HELD_OUT: Final = 8

_LAYOUT: Final[dict[str, tuple[tuple[int, ...], type]]] = {
    "images": ((CROP_SIDE, SEEN_COLUMNS, 3), np.uint8),
    "masks": ((CROP_SIDE, SEEN_COLUMNS), np.uint8),
    "squares": ((3,), np.float32),
    "boxes": ((4,), np.float32),
    "intrinsics": ((3, 3), np.float32),
    "image_size": ((2,), np.float32),
    "true_landmarks": ((33, 3), np.float32),
    "visible": ((33,), np.bool_),
    "rotations": ((24, 3, 3), np.float32),
    "pelvis": ((3,), np.float32),
    "betas": ((10,), np.float32),
}


@dataclass(frozen=True)
class PeopleBatch:
    """Samples. Camera frame: OpenCV, metres; pixels of the whole picture, except for the crops.

    Attributes:
        images: (N, 256, 192, 3) uint8 RGB, crops as they are cut from footage.
        masks: (N, 256, 192) uint8, 255 where the person is seen.
        squares: (N, 3) that the crops were cut from: centre x, y and side.
        boxes: (N, 4) of the person as a detector has it, x0 y0 x1 y1.
        intrinsics: (N, 3, 3) of the picture.
        image_size: (N, 2) width and height.
        true_landmarks: (N, 33, 3).
        visible: (N, 33) bool: in the picture, and hidden by nothing, the own body included.
        rotations: (N, 24, 3, 3) of the joints in their parents, the root's in the camera.
        pelvis: (N, 3).
        betas: (N, 10).
    """

    images: Tensor
    masks: Tensor
    squares: Tensor
    boxes: Tensor
    intrinsics: Tensor
    image_size: Tensor
    true_landmarks: Tensor
    visible: Tensor
    rotations: Tensor
    pelvis: Tensor
    betas: Tensor

    def __len__(self) -> int:
        return len(self.images)


class PeopleSet:
    """A set that was opened; shards that are added later are not seen.

    Attributes:
        folder: where it lies.
        shards: the folders that were taken, in their order.
    """

    def __init__(self, folder: Path, shards: Sequence[Path]) -> None:
        self.folder, self.shards = Path(folder), tuple(shards)
        self._arrays = [_open_shard(shard) for shard in self.shards]
        self._ends = np.cumsum([len(arrays["images"]) for arrays in self._arrays])

    @classmethod
    def open(cls, folder: str | Path, held_out: bool = False) -> PeopleSet:
        """Open a set.

        Args:
            folder: of the set.
            held_out: take every eighth shard, which the training does not see, and not the others.

        Raises:
            BadInput: there is no such shard, or one is damaged.
        """
        folder = Path(folder)
        found = sorted(path for path in folder.glob("shard[0-9]*") if path.name[5:].isdecimal())
        shards = [path for path in found if is_held_out(int(path.name[5:])) == held_out]
        if not shards:
            which = (
                f"no shard that is held out (the first is shard{_HELD_OUT - 1:04d})"
                if held_out and found
                else "no shards"
            )
            raise BadInput(
                f"{folder} is not a set of synthetic people for this: it has {which}. "
                "Make it with `fasthmr train synthesis --mocap DIR --out DIR --shards N`."
            )
        return cls(folder, shards)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def take(self, rows: Sequence[int] | np.ndarray | Tensor) -> PeopleBatch:
        """Read samples.

        Args:
            rows: which, in any order; less than ``len()`` and not negative.

        Returns:
            As many samples, in that order.

        Raises:
            IndexError: there is no such row.
        """
        wanted = np.asarray(rows, np.int64).reshape(-1)
        if len(wanted) and (wanted.min() < 0 or wanted.max() >= len(self)):
            raise IndexError(f"rows {wanted.min()} to {wanted.max()} of a set of {len(self)}")
        result = {name: np.empty((len(wanted), *shape), kind) for name, (shape, kind) in _LAYOUT.items()}
        shard_of = np.searchsorted(self._ends, wanted, side="right")
        for shard in np.unique(shard_of):
            here = np.flatnonzero(shard_of == shard)
            start = self._ends[shard] - len(self._arrays[shard]["images"])
            for name, array in self._arrays[shard].items():
                result[name][here] = array[wanted[here] - start]
        return PeopleBatch(**{name: torch.from_numpy(array) for name, array in result.items()})


def is_held_out(shard: int) -> bool:
    """Whether a shard of this number is kept from training: 7, 15, 23, ..."""
    return shard % _HELD_OUT == _HELD_OUT - 1


def shard_folder(folder: Path, shard: int) -> Path:
    """Where a shard lies in its set."""
    return Path(folder) / f"shard{shard:04d}"


def write_shard(folder: Path, shard: int, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a shard, whole or not at all.

    Args:
        folder: of the set; made when missing.
        shard: number; there must be none with it.
        arrays: the fields of :class:`PeopleBatch`, equally long.

    Raises:
        BadInput: it is there already, or the folder cannot be written to.
        ValueError: arrays that are missing or of another shape or kind.
    """
    count = len(arrays["images"])
    for name, (shape, kind) in _LAYOUT.items():
        array = arrays[name]
        if array.shape != (count, *shape) or array.dtype != kind:
            raise ValueError(f"{name} are {array.dtype} {array.shape}, not {kind} {(count, *shape)}")
    place = shard_folder(folder, shard)
    if place.exists():
        raise BadInput(f"{place} is there already. Remove it, or choose another folder.")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{place.name}.", suffix=".part", dir=place.parent))
        try:
            for name in _LAYOUT:
                np.save(part / f"{name}.npy", arrays[name], allow_pickle=False)
            if os.name == "posix":
                part.chmod(0o755)  # mkdtemp's is for its owner alone
            part.replace(place)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise BadInput(
            f"{place} cannot be written: {error.strerror or error}. Free some space or choose another folder."
        ) from error


def _open_shard(folder: Path) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    count = -1
    for name, (shape, kind) in _LAYOUT.items():
        path = folder / f"{name}.npy"
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise BadInput(f"{path} cannot be read ({error}). Remove {folder} and make it again.") from error
        count = len(array) if count < 0 and array.ndim else count
        if array.shape != (count, *shape) or array.dtype != kind or not count:
            raise BadInput(
                f"{path} holds {array.dtype} {array.shape}, which does not fit. "
                f"Remove {folder} and make it again."
            )
        arrays[name] = array
    return arrays


if {field.name for field in fields(PeopleBatch)} != set(_LAYOUT):  # pragma: no cover
    raise AssertionError("a field of the batch has no array")
