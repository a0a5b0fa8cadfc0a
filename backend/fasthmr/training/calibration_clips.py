# SPDX-License-Identifier: Apache-2.0
"""Crops for measuring a network, from the user's own footage: nobody has to label anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.crop_camera import box_information
from fasthmr.encoder.crop_geometry import CropSquare, rule_for, square_of
from fasthmr.encoder.crops import cut_bytes
from fasthmr.encoder.landmark_tokens import landmark_numbers
from fasthmr.encoder.protection import patch_levels
from fasthmr.encoder.proxies import mask_in_crop, proxies
from fasthmr.errors import BadInput, NobodyFound
from fasthmr.footage import Footage, open_footage, sha256_of
from fasthmr.people import People, PersonDetector, Track, find_people
from fasthmr.placement import camera_intrinsics
from fasthmr.progress import Progress
from fasthmr.training.calibration import CalibrationSet

if TYPE_CHECKING:
    from fasthmr.people import PackedMask


@dataclass(frozen=True)
class ClipSettings:
    """Which crops to take from footage.

    Attributes:
        clips: videos, folders of images or patterns.
        frames: crops in all, evenly spread over the clips, their people and their lengths.
        camera_fov: horizontal field of view, degrees; None: from the footage, or a usual one.
    """

    clips: tuple[Path, ...]
    frames: int
    camera_fov: float | None = None

    def description(self, config: EncoderConfig) -> dict[str, Any]:
        """What a set made with these settings says of itself; the same crops have the same."""
        return {
            "kind": config.kind,
            "clips": [{"file": clip.name, "sha256": sha256_of(clip)} for clip in self.clips],
            "frames": self.frames,
            "camera_fov": self.camera_fov,
        }


def collect_crops(
    settings: ClipSettings,
    config: EncoderConfig,
    progress: Progress | None = None,
    detector: PersonDetector | None = None,
) -> CalibrationSet:
    """Find the people in clips, and cut them out of frames that are evenly spread.

    Args:
        settings: which clips, and how many crops.
        config: of the network; it says how crops are cut.
        progress: told how far it is (stage "people"); may cancel.
        detector: finds people; BlazePose when left out.

    Returns:
        Bytes as :func:`fasthmr.encoder.crops.cut` makes them, with the position of the box and the patches
        of the person; fewer than asked for if the clips have fewer.

    Raises:
        NobodyFound: there is nobody in any of the clips.
        BadInput: a clip cannot be read, or the network takes crops of another size than footage gives.
        MissingModel: the detector's files are missing.
        Cancelled: the user cancelled.
    """
    progress = progress or Progress()
    if config.image_size != (256, 192):
        raise BadInput(f"A network for crops of {config.image_size} pixels has no crops of footage.")
    parts: list[_Crops] = []
    for index, clip in enumerate(settings.clips):
        missing = settings.frames - sum(len(part.crops) for part in parts)
        wanted = -(-missing // (len(settings.clips) - index))  # what earlier clips lacked, later ones give
        with open_footage(clip, progress=progress) as footage:
            part = _Clip(progress, index, len(settings.clips))
            try:
                people = find_people(footage, detector, part)
            except NobodyFound as error:
                progress.log(f"{clip} is left out: {error}")
                continue
            parts.append(_cut_out(footage, people, wanted, config, settings.camera_fov, part))
    if not parts:
        raise NobodyFound("There is nobody in any of the clips. Give footage that shows people well.")
    return CalibrationSet(
        crops=np.concatenate([part.crops for part in parts]),
        box_info=np.concatenate([part.box_info for part in parts]) if config.reads_box else None,
        protection=np.concatenate([part.protection for part in parts]),
        landmarks=np.concatenate([part.landmarks for part in parts]) if config.landmarks else None,
        description=settings.description(config),
    )


@dataclass(frozen=True)
class _Crops:
    """The crops of one clip."""

    crops: np.ndarray
    box_info: np.ndarray
    protection: np.ndarray
    landmarks: np.ndarray


def evenly_spread(people: People, count: int) -> list[tuple[int, Track, int]]:
    """Moments of people, evenly spread over everything that was seen.

    Args:
        people: of a clip.
        count: how many at most.

    Returns:
        Frame of the clip, whose track, and the row in it, in the order of the frames.
    """
    seen = sorted(
        (
            (int(frame), track, row)
            for track in people.tracks
            for row, frame in enumerate(track.frame_indices)
        ),
        key=lambda one: (one[0], one[1].person),
    )
    rows = np.unique(np.linspace(0, len(seen) - 1, min(count, len(seen))).round().astype(int))
    return [seen[row] for row in rows]


def _cut_out(
    footage: Footage,
    people: People,
    count: int,
    config: EncoderConfig,
    camera_fov: float | None,
    progress: Progress,
) -> _Crops:
    """Read the clip again, up to the last frame that is needed."""
    moments = evenly_spread(people, count)
    rule = rule_for(config.kind)
    squares = square_of(np.stack([track.boxes[row] for _, track, row in moments]), rule)
    masks: Sequence[PackedMask | None] = [track.masks[row] for _, track, row in moments]
    waiting: dict[int, list[int]] = {}
    for position, (frame, _, _) in enumerate(moments):
        waiting.setdefault(frame, []).append(position)
    kind = np.float32 if config.reads_proxies else np.uint8
    crops = np.zeros((len(moments), config.in_channels, *config.image_size), kind)
    for frame in footage:
        progress.report("people", 1, 1)  # the clip's people are found; this is the place to stop
        for position in waiting.pop(frame.index, []):
            crop = cut_bytes(frame.image, squares[position], rule)
            if config.reads_proxies:
                mask = mask_in_crop(masks[position], squares[position])
                crops[position] = proxies(crop, mask, config.in_channels)
            else:
                crops[position] = crop.transpose(2, 0, 1)
        if not waiting:
            break
    footage.close()
    intrinsics = camera_intrinsics(footage.info, camera_fov)
    return _Crops(
        crops,
        box_information(squares, intrinsics),
        patch_levels(masks, squares),
        _landmarks(moments, squares),
    )


def _landmarks(moments: Sequence[tuple[int, Track, int]], squares: Sequence[CropSquare]) -> np.ndarray:
    """What our own network reads of the detector's landmarks, (N,L,6)."""
    image, world, visibility = (
        torch.from_numpy(np.stack([getattr(track, name)[row] for _, track, row in moments]))
        for name in ("landmarks_image", "landmarks_world", "visibility")
    )
    return landmark_numbers(image[..., :2], world, visibility, torch.tensor(squares)).numpy()


class _Clip(Progress):
    """One clip's share of looking for people, in thousandths of all clips, so that it never starts again."""

    def __init__(self, whole: Progress, index: int, clips: int) -> None:
        super().__init__(whole.cancelled)
        self._whole, self._index, self._clips = whole, index, clips

    def show(self, stage: str, done: int, total: int | None) -> None:
        share = min(1.0, done / total) if total else 0.0
        self._whole.show(stage, int(1000 * (self._index + share)), 1000 * self._clips)

    def log(self, message: str) -> None:
        self._whole.log(message)
