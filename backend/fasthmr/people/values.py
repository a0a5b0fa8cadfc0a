# SPDX-License-Identifier: Apache-2.0
"""The people of a clip as plain values, and their file.

:class:`People` is what the step ``people`` hands to the rest of the flow. Its file is an ``.npz`` of
plain arrays, written in one piece and read without pickles; all masks of a person are one run of
bytes with the offset of each.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays
from fasthmr.people.landmarks import LANDMARK_COUNT
from fasthmr.people.masks import PackedMask

SCHEMA: Final = 1

# The arrays of a track: name -> (shape after the frames, kind of number).
_TRACK_ARRAYS: Final[dict[str, tuple[tuple[int, ...], type[np.generic]]]] = {
    "frame_indices": ((), np.int64),
    "timestamps": ((), np.float64),
    "boxes": ((4,), np.float32),
    "landmarks_image": ((LANDMARK_COUNT, 3), np.float32),
    "landmarks_world": ((LANDMARK_COUNT, 3), np.float32),
    "visibility": ((LANDMARK_COUNT,), np.float32),
}


@dataclass(frozen=True, eq=False)
class Track:
    """One person through one shot; T frames in which the person was seen.

    Args:
        person: number, from 1; 1 is the largest and longest seen.
        shot: which shot the track lies in, from 0.
        frame_indices: (T,) int64, strictly increasing, positions in the whole clip; may skip frames.
        timestamps: (T,) float64, seconds since the clip's first frame.
        boxes: (T, 4) float32, x0, y0, x1, y1 in pixels.
        landmarks_image: (T, 33, 3) float32, pixels (see :class:`fasthmr.people.detection.Detection`).
        landmarks_world: (T, 33, 3) float32, metres, camera axes.
        visibility: (T, 33) float32, 0..1.
        masks: T masks, None where there is none.
    """

    person: int
    shot: int
    frame_indices: np.ndarray
    timestamps: np.ndarray
    boxes: np.ndarray
    landmarks_image: np.ndarray
    landmarks_world: np.ndarray
    visibility: np.ndarray
    masks: tuple[PackedMask | None, ...]

    def __post_init__(self) -> None:
        count = len(self.frame_indices)
        for name, (shape, kind) in _TRACK_ARRAYS.items():
            array = getattr(self, name)
            if array.shape != (count, *shape) or array.dtype != kind:
                raise ValueError(
                    f"{name} of person {self.person} is {array.dtype} {array.shape}, "
                    f"not {np.dtype(kind)} {(count, *shape)}"
                )
            if not np.isfinite(array).all():
                raise ValueError(f"{name} of person {self.person} holds numbers that are not finite")
        if not count or len(self.masks) != count:
            raise ValueError(f"person {self.person}: {count} frames, {len(self.masks)} masks")
        if (np.diff(self.frame_indices) <= 0).any() or (np.diff(self.timestamps) <= 0).any():
            raise ValueError(f"person {self.person}: frames are not in order of time")

    def __len__(self) -> int:
        return len(self.frame_indices)

    @property
    def first_frame(self) -> int:
        """First frame in which the person was seen."""
        return int(self.frame_indices[0])

    @property
    def last_frame(self) -> int:
        """Last frame in which the person was seen."""
        return int(self.frame_indices[-1])

    @property
    def box_height(self) -> float:
        """Median height of the boxes, pixels."""
        return float(np.median(self.boxes[:, 3] - self.boxes[:, 1]))


@dataclass(frozen=True, eq=False)
class People:
    """Everybody in a clip.

    Args:
        tracks: the people, in order of their numbers.
        image_size: width and height of the footage, pixels.
        frame_rate: average frames per second of the footage.
        frame_indices: (N,) int64, every frame that was decoded.
        timestamps: (N,) float64, their times in seconds.
        cuts: the frames (positions in the whole clip) with which a new shot starts; the first shot's
            start is not among them.
        thumbnails: person -> (height, width, 3) uint8 RGB, a good moment of each person.
    """

    tracks: tuple[Track, ...]
    image_size: tuple[int, int]
    frame_rate: float
    frame_indices: np.ndarray
    timestamps: np.ndarray
    cuts: tuple[int, ...] = ()
    thumbnails: Mapping[int, np.ndarray] = field(default_factory=dict)

    def track(self, person: int) -> Track:
        """The track of one person.

        Raises:
            KeyError: there is no such person.
        """
        for track in self.tracks:
            if track.person == person:
                return track
        raise KeyError(person)

    def coverage(self, track: Track) -> float:
        """Share of the decoded frames between a track's first and last in which the person was seen."""
        within = (self.frame_indices >= track.first_frame) & (self.frame_indices <= track.last_frame)
        return len(track) / max(1, int(within.sum()))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the people to an ``.npz``; the file appears whole or not at all.

        Raises:
            BadInput: the place cannot be written to.
        """
        arrays: dict[str, np.ndarray] = {
            "frame_indices": np.asarray(self.frame_indices, np.int64),
            "timestamps": np.asarray(self.timestamps, np.float64),
        }
        for track in self.tracks:
            prefix = f"person{track.person}"
            arrays |= {f"{prefix}.{name}": getattr(track, name) for name in _TRACK_ARRAYS}
            arrays |= {f"{prefix}.{name}": array for name, array in _masks_to_arrays(track.masks).items()}
        for person, picture in self.thumbnails.items():
            arrays[f"thumbnail{person}"] = np.asarray(picture, np.uint8)
        header = {
            "schema": SCHEMA,
            "image_size": [int(side) for side in self.image_size],
            "frame_rate": float(self.frame_rate),
            "cuts": [int(cut) for cut in self.cuts],
            "tracks": [{"person": track.person, "shot": track.shot} for track in self.tracks],
            "thumbnails": sorted(int(person) for person in self.thumbnails),
        }
        arrays["header"] = np.array(json.dumps(header))
        save_arrays(Path(path), arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> People:
        """Read the people from an ``.npz``.

        Raises:
            BadInput: the file is missing, damaged, of a newer schema or not such a file.
        """
        arrays = load_arrays(Path(path), "people file")
        try:
            return cls._from_arrays(arrays)
        except BadInput as error:
            raise BadInput(f"{path}: {error}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadInput(
                f"{path}: not a people file of FastHMR, or damaged ({error}). "
                "Delete it and run the job again; it is made anew from the footage."
            ) from error

    @classmethod
    def _from_arrays(cls, file: Mapping[str, np.ndarray]) -> People:
        header: dict[str, Any] = json.loads(str(file["header"]))
        if header["schema"] > SCHEMA:
            raise BadInput(
                f"written by a newer version of FastHMR (people schema {header['schema']}, "
                f"this version reads up to {SCHEMA}). Update FastHMR, or recover the people again."
            )
        width, height = (int(side) for side in header["image_size"])
        tracks = []
        for entry in header["tracks"]:
            person, shot = int(entry["person"]), int(entry["shot"])
            prefix = f"person{person}"
            arrays = {name: file[f"{prefix}.{name}"] for name in _TRACK_ARRAYS}
            masks = _masks_from_arrays(
                (width, height), {name: file[f"{prefix}.{name}"] for name in _MASK_ARRAYS}
            )
            tracks.append(Track(person=person, shot=shot, masks=masks, **arrays))
        frame_indices, timestamps = file["frame_indices"], file["timestamps"]
        if frame_indices.shape != timestamps.shape or frame_indices.ndim != 1:
            raise ValueError("frames and times do not fit each other")
        return cls(
            tracks=tuple(tracks),
            image_size=(width, height),
            frame_rate=float(header["frame_rate"]),
            frame_indices=frame_indices.astype(np.int64),
            timestamps=timestamps.astype(np.float64),
            cuts=tuple(int(cut) for cut in header["cuts"]),
            thumbnails={int(person): file[f"thumbnail{int(person)}"] for person in header["thumbnails"]},
        )


_MASK_ARRAYS: Final = ("mask_places", "mask_offsets", "mask_bytes")


def _masks_to_arrays(masks: tuple[PackedMask | None, ...]) -> dict[str, np.ndarray]:
    """A person's masks as three arrays; a missing mask has no bytes.

    A place is x and y of the origin, the cell's side, rows and columns.
    """
    places = [(*mask.origin, mask.cell, *mask.grid) if mask else (0,) * 5 for mask in masks]
    return {
        "mask_places": np.array(places, np.int32),
        "mask_offsets": np.cumsum([0] + [len(mask.data) if mask else 0 for mask in masks], dtype=np.int64),
        "mask_bytes": np.frombuffer(b"".join(mask.data for mask in masks if mask), np.uint8),
    }


def _masks_from_arrays(
    image_size: tuple[int, int], arrays: Mapping[str, np.ndarray]
) -> tuple[PackedMask | None, ...]:
    """The inverse of :func:`_masks_to_arrays`.

    Raises:
        ValueError: the arrays do not fit each other.
    """
    places, offsets = arrays["mask_places"], arrays["mask_offsets"]
    data = arrays["mask_bytes"].tobytes()
    count = len(places)
    if places.shape != (count, 5) or offsets.shape != (count + 1,):
        raise ValueError("the arrays of the masks do not fit each other")
    if (np.diff(offsets) < 0).any() or offsets[0] != 0 or offsets[-1] != len(data):
        raise ValueError("the offsets of the masks do not fit their bytes")
    masks: list[PackedMask | None] = []
    for (x, y, cell, rows, columns), start, stop in zip(
        places.tolist(), offsets[:-1].tolist(), offsets[1:].tolist(), strict=True
    ):
        if start == stop:
            masks.append(None)
            continue
        mask = PackedMask(image_size, (x, y), cell, (rows, columns), data[start:stop])
        mask.check()
        masks.append(mask)
    return tuple(masks)
