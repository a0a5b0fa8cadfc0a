# SPDX-License-Identifier: Apache-2.0
"""Windows of recorded pairs as training batches: errors that perception really made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fasthmr.body.skeleton import MIRROR
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from fasthmr.decoder.view_frame import steady_boxes
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays
from fasthmr.people.landmarks import LANDMARK_MIRROR

_NEEDED: Final = (
    "landmarks_image",
    "landmarks_world",
    "visibility",
    "boxes",
    "intrinsics",
    "image_size",
    "step",
    "rotations",
    "pelvis",
    "betas",
    "up",
    "contacts",
    "valid",
)
_HELD_EVERY: Final = 8  # every eighth file is kept for measuring


def pair_files(folder: Path, held_out: bool) -> list[Path]:
    """The files of a recording, without those that are held out, or those alone.

    Raises:
        BadInput: there are none.
    """
    every = sorted(path for path in folder.glob("pairs*.npz") if path.stem[5:].isdecimal())
    files = [path for path in every if (int(path.stem[5:]) % _HELD_EVERY == _HELD_EVERY - 1) == held_out]
    if not files:
        raise BadInput(f"{folder} holds no recorded pairs. Record some with `fasthmr train evidence`.")
    return files


def load_pairs(files: Sequence[Path], names: Sequence[str] = _NEEDED) -> dict[str, np.ndarray]:
    """Arrays of several files, one after the other.

    Raises:
        BadInput: a file is damaged, lacks an array, or is of other sizes than the first.
    """
    loaded = [load_arrays(path, "recorded pairs") for path in files]
    for path, arrays in zip(files, loaded, strict=True):
        if missing := [name for name in names if name not in arrays]:
            raise BadInput(
                f"The recorded pairs {path} lack {', '.join(missing)}. Delete the file and record again."
            )
        if other := [name for name in names if arrays[name].shape[1:] != loaded[0][name].shape[1:]]:
            raise BadInput(
                f"The recorded pairs {path} have {', '.join(other)} of other sizes than {files[0]}. "
                "Delete the file and record again."
            )
    return {name: np.concatenate([arrays[name] for arrays in loaded]) for name in names}


class PairedEvidence:
    """Draws windows out of recorded pairs; half of them mirrored.

    Args:
        folder: of the recording.
        seed: of everything drawn.
        window: frames T of a window.
        held_out: take the files that training never sees.

    Raises:
        BadInput: no pairs there, damaged ones, or sequences shorter than a window.
    """

    def __init__(self, folder: Path, seed: int = 0, window: int = 64, held_out: bool = False) -> None:
        arrays = load_pairs(pair_files(folder, held_out))
        self._arrays = {
            name: torch.from_numpy(one if one.dtype == bool else one.astype(np.float32))
            for name, one in arrays.items()
        }
        self._window = window
        self._length = self._arrays["visibility"].shape[1]
        if self._length < window:
            raise BadInput(
                f"The recorded pairs in {folder} are {self._length} frames long; {window} are needed."
            )
        self._generator = torch.Generator().manual_seed(seed)

    def batch(self, count: int) -> tuple[EvidenceBatch, MotionBatch]:
        """Draw B = ``count`` windows: what was seen, and what is true."""
        generator = self._generator
        rows = torch.randint(len(self._arrays["step"]), (count,), generator=generator)
        first = torch.randint(self._length - self._window + 1, (count,), generator=generator)
        frames = first[:, None] + torch.arange(self._window)

        def cut(name: str) -> Tensor:
            return self._arrays[name][rows[:, None], frames]

        evidence = EvidenceBatch(
            landmarks_image=cut("landmarks_image"),
            landmarks_world=cut("landmarks_world"),
            visibility=cut("visibility") * cut("valid")[..., None],
            boxes=steady_boxes(cut("boxes")),
            intrinsics=self._arrays["intrinsics"][rows],
            step=self._arrays["step"][rows],
        )
        motion = MotionBatch(
            rotations=cut("rotations"),
            pelvis=cut("pelvis"),
            betas=self._arrays["betas"][rows],
            up=cut("up"),
            contacts=cut("contacts"),
            valid=cut("valid"),
        )
        mirrored = torch.rand(count, generator=generator) < 0.5
        return _mirrored(evidence, motion, self._arrays["image_size"][rows, 0], mirrored)


def _mirrored(
    evidence: EvidenceBatch, motion: MotionBatch, width: Tensor, where: Tensor
) -> tuple[EvidenceBatch, MotionBatch]:
    """Some windows as a mirror shows them: left becomes right, and x turns about the picture's middle."""
    marks, joints = list(LANDMARK_MIRROR), list(MIRROR)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    wide = width[:, None]

    def choose(changed: Tensor, plain: Tensor) -> Tensor:
        return torch.where(where.reshape(-1, *[1] * (plain.ndim - 1)), changed, plain)

    image, box = evidence.landmarks_image, evidence.boxes
    # A pixel's place x is seen at width - x; the middle of the lens likewise.
    turned = torch.cat([wide[..., None, None] - image[..., :1], image[..., 1:]], dim=-1)[:, :, marks]
    boxes = torch.stack([wide - box[..., 2], box[..., 1], wide - box[..., 0], box[..., 3]], dim=-1)
    intrinsics = evidence.intrinsics.clone()
    intrinsics[:, 0, 2] = width - intrinsics[:, 0, 2]
    rotations = motion.rotations[:, :, joints] * (flip[:, None] * flip)
    return (
        EvidenceBatch(
            landmarks_image=choose(turned, image),
            landmarks_world=choose((evidence.landmarks_world * flip)[:, :, marks], evidence.landmarks_world),
            visibility=choose(evidence.visibility[:, :, marks], evidence.visibility),
            boxes=choose(boxes, box),
            intrinsics=choose(intrinsics, evidence.intrinsics),
            step=evidence.step,
        ),
        MotionBatch(
            rotations=choose(rotations, motion.rotations),
            pelvis=choose(motion.pelvis * flip, motion.pelvis),
            betas=motion.betas,
            up=choose(motion.up * flip, motion.up),
            contacts=choose(motion.contacts[..., [2, 3, 0, 1]], motion.contacts),
            valid=motion.valid,
        ),
    )
