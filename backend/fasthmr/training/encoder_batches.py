# SPDX-License-Identifier: Apache-2.0
"""Batches for our encoder: rendered people with faults of masks and landmarks, and captured motion."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.body import load_body
from fasthmr.encoder.config import PROXIES
from fasthmr.encoder.crop_geometry import rule_for, square_of
from fasthmr.encoder.proxies import proxies
from fasthmr.encoder.token_merging import BACKGROUND, PERSON
from fasthmr.training.evidence.errors import PARAMETERS, ErrorParameters, usual
from fasthmr.training.mask_faults import faulty_mask
from fasthmr.training.mocap.packed import MocapSet, Split
from fasthmr.training.single_frames import EncoderBatch, Frames, mirrored, observed

# Patches that a batch keeps, and how often. The person's stay before the background's, mostly.
_KEPT: Final = (40, 64, 96, 192)
_OFTEN: Final = (0.5, 0.4, 0.07, 0.03)
_PERSON_FIRST: Final = 0.8
_SHARE: Final = 0.1  # of a patch that is the person
_PATCH, _PADDING = 16, 2
# A folder that is being filled is looked at again after so long.
_LOOK_AGAIN: Final = 120.0
# Frames of each window of captured motion.
_WINDOW: Final = 16
_OF_WINDOW: Final = 4


class PictureBatches:
    """Rendered people as the detector and the network see them; the same seed gives the same batches.

    Args:
        folder: of a set of synthetic people.
        seed: of everything drawn.
        held_out: the part that is measured on, seen as it is and with all its patches.
        channels: of the crops (:func:`fasthmr.encoder.proxies.proxies`).

    Raises:
        BadInput: there is no such set.
    """

    def __init__(self, folder: Path, seed: int, held_out: bool = False, channels: int = PROXIES) -> None:
        self._folder, self._held_out, self._channels = folder, held_out, channels
        self._errors = ErrorParameters.load() if PARAMETERS.is_file() else usual()
        self._generator = torch.Generator().manual_seed(seed)
        self._rng = np.random.default_rng(seed)
        self._open()

    def __len__(self) -> int:
        return len(self._people)

    def draw(self, count: int) -> EncoderBatch:
        """A random batch of B = ``count`` people, some of them in a mirror, with some of their patches."""
        if time.monotonic() - self._opened > _LOOK_AGAIN:
            self._open()
        rows = np.sort(self._rng.integers(len(self._people), size=count))
        flipped = self._rng.random(count) < 0.5
        kept = int(self._rng.choice(_KEPT, p=_OFTEN))
        return self._batch(rows, flipped, kept)

    def all_in_order(self, rows: np.ndarray) -> EncoderBatch:
        """Some people, not mirrored, with all their patches."""
        return self._batch(rows, np.zeros(len(rows), bool), None)

    def _open(self) -> None:
        from fasthmr.training.synthesis.people_set import PeopleSet

        self._people = PeopleSet.open(self._folder, held_out=self._held_out)
        self._opened = time.monotonic()

    def _batch(self, rows: np.ndarray, flipped: np.ndarray, kept: int | None) -> EncoderBatch:
        people = self._people.take(rows)
        batch = observed(
            mirrored(frames_of(people), torch.from_numpy(flipped)), self._errors, self._generator
        )
        crops = np.empty((len(rows), self._channels, *people.images.shape[1:3]), np.float32)
        shares = np.empty((len(rows), 16 * 12), np.float32)
        for index, (image, mask) in enumerate(
            zip(np.asarray(people.images), np.asarray(people.masks), strict=True)
        ):
            if flipped[index]:
                image, mask = _in_mirror(image), _in_mirror(mask)
            found = faulty_mask(mask, self._rng)
            crops[index] = proxies(image, found, self._channels)
            shares[index] = patch_shares(np.full(mask.shape, 0.5, np.float32) if found is None else found)
        levels = torch.from_numpy(np.where(shares >= _SHARE, PERSON, BACKGROUND).astype(np.uint8))
        keep = None if kept in (None, shares.shape[1]) else self._kept(levels, kept)
        return batch._replace(crops=torch.from_numpy(crops).bfloat16(), keep=keep, levels=levels)

    def _kept(self, levels: Tensor, count: int) -> Tensor:
        """(B, count) patches to show: the person's first, or whichever."""
        order = torch.rand(levels.shape, generator=self._generator)
        first = torch.rand(len(levels), 1, generator=self._generator) < _PERSON_FIRST
        return (order + first * levels).topk(count, dim=1).indices.sort(dim=1).values


class MocapBatches:
    """Landmarks of captured motion before virtual cameras: no pictures, and no end of poses.

    Args:
        folder: of a set made by ``fasthmr train mocap``.
        seed: of everything drawn.
        split: which clips.

    Raises:
        BadInput: there is no such set.
    """

    def __init__(self, folder: Path, seed: int, split: Split = "train") -> None:
        from fasthmr.training.evidence.body_landmarks import BodyLandmarks
        from fasthmr.training.evidence.motion_windows import MotionWindows

        body = load_body("open")
        self._errors = ErrorParameters.load() if PARAMETERS.is_file() else usual()
        self._generator = torch.Generator().manual_seed(seed)
        self._windows = MotionWindows(MocapSet.open(folder), body, self._generator, _WINDOW, split)
        self._landmarks = BodyLandmarks(body)

    def draw(self, count: int) -> EncoderBatch:
        """A random batch of B = ``count`` people."""
        from fasthmr.training.evidence.cameras import random_cameras
        from fasthmr.training.evidence.synthesis import boxes_around, motion_in_camera

        with torch.no_grad():
            motion = self._windows.draw(-(-count // _OF_WINDOW))
            cameras = random_cameras(motion, self._generator)
            truth = motion_in_camera(motion, cameras)
            points = cameras.points(self._landmarks.place(motion.joints, motion.turns, motion.betas))
            pixels = cameras.project(points)
            size = cameras.image_size[:, None, None]
            inside = ((pixels >= 0) & (pixels < size)).all(-1) & (points[..., 2] > 0.2)
            boxes = boxes_around(pixels, inside, cameras.image_size)
            shift = self._errors.box.square().sum().sqrt() * torch.randn(
                boxes.shape, generator=self._generator
            )
            boxes = boxes + shift * (boxes[..., 2:] - boxes[..., :2]).amax(-1, keepdim=True)
            boxes = torch.cat([boxes[..., :2], boxes[..., 2:].maximum(boxes[..., :2] + 8)], dim=-1)
            every = slice(_WINDOW // _OF_WINDOW // 2, None, _WINDOW // _OF_WINDOW)
            chosen = boxes[:, every].flatten(0, 1)
            squares = torch.tensor(square_of(chosen.numpy(), rule_for("open")), dtype=torch.float32)
            repeated = (
                one.repeat_interleave(_OF_WINDOW, 0)
                for one in (truth.betas, cameras.intrinsics, cameras.image_size)
            )
            betas, intrinsics, image_size = repeated
            frames = Frames(
                points=points[:, every].flatten(0, 1),
                visible=inside[:, every].flatten(0, 1),
                rotations=truth.rotations[:, every].flatten(0, 1),
                pelvis=truth.pelvis[:, every].flatten(0, 1),
                betas=betas,
                intrinsics=intrinsics,
                image_size=image_size,
                squares=squares,
            )
            good = frames.visible.sum(1) >= 8  # somebody who is hardly in the picture is not detected
            batch = observed(Frames(*(one[good] for one in frames)), self._errors, self._generator)
            return batch.rows(slice(count))


def draws(
    people: Path | None, mocap: Path | None, batch: int, mocap_batch: int, seed: int, channels: int
) -> Callable[[], tuple[EncoderBatch | None, EncoderBatch | None]]:
    """The function that makes one step's batches: of pictures and of landmarks alone, None where not asked.

    Called in the process of a :class:`fasthmr.training.batch_stream.BatchStream`.
    """
    seed = seed + time.time_ns() % 1_000_003  # a run that goes on sees other batches
    pictures = None if people is None else PictureBatches(people, seed, channels=channels)
    motion = None if mocap is None else MocapBatches(mocap, seed)

    def draw() -> tuple[EncoderBatch | None, EncoderBatch | None]:
        return (
            None if pictures is None else pictures.draw(batch),
            None if motion is None else motion.draw(mocap_batch),
        )

    return draw


def frames_of(people: Any) -> Frames:
    """The truth of a batch of a people set."""

    def tensor(values: Any) -> Tensor:
        return torch.as_tensor(np.asarray(values)).float()

    return Frames(
        points=tensor(people.true_landmarks),
        visible=torch.as_tensor(np.asarray(people.visible)).bool(),
        rotations=tensor(people.rotations),
        pelvis=tensor(people.pelvis),
        betas=tensor(people.betas),
        intrinsics=tensor(people.intrinsics),
        image_size=tensor(people.image_size),
        squares=tensor(people.squares),
    )


def patch_shares(mask: np.ndarray) -> np.ndarray:
    """Share of each of the network's patches that a mask (256, 192) in the crop covers, (192,)."""
    padded = np.pad(mask, _PADDING)[: 16 * _PATCH, : 12 * _PATCH]
    return padded.reshape(16, _PATCH, 12, _PATCH).mean((1, 3)).reshape(-1)


def _in_mirror(crop: np.ndarray) -> np.ndarray:
    """A crop as the mirrored picture gives it: its centre is a pixel's index, so that it moves by one."""
    flipped = np.ascontiguousarray(crop[:, ::-1])
    flipped[:, 1:] = crop[:, :0:-1]
    return flipped
