# SPDX-License-Identifier: Apache-2.0
"""A small set of captured motion that nobody captured: somebody sways and turns on a planted left foot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import roma
import torch

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX
from fasthmr.training.mocap.packed import MocapSet, PackedMotion, Split, write_mocap_set

_Z_UP = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
_SOLE = 0.08  # metres from the ankle to the floor


def swaying(
    body: BodyModel, count: int, seed: int, split: Split = "train", still: bool = False
) -> PackedMotion:
    """A clip of so many frames; a still one never moves."""
    generator = torch.Generator().manual_seed(seed)

    def random(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=generator)

    time = torch.zeros(count) if still else torch.arange(count) / 30
    rate, phase = 0.2 + 0.6 * random(24, 3), 2 * torch.pi * random(24, 3)
    height = 0.35 * torch.randn(24, 3, generator=generator)
    angles = height * torch.sin(2 * torch.pi * rate * time[:, None, None] + phase)
    angles[:, [INDEX["pelvis"], INDEX["left_hand"], INDEX["right_hand"]]] *= 0.2
    rotations = roma.rotvec_to_rotmat(angles)
    yaw = torch.zeros(count, 3)
    yaw[:, 2] = 6 * random(1) + (random(1) - 0.5) * time
    rotations[:, 0] = roma.rotvec_to_rotmat(yaw) @ _Z_UP @ rotations[:, 0]
    betas = 0.5 * torch.randn(10, generator=generator)
    joints, _ = body.joints(rotations, betas.expand(count, 10))
    joints = joints - joints[:, :1]
    pelvis = torch.tensor([0.3, -0.2, _SOLE]) - joints[:, INDEX["left_ankle"]]
    contacts = np.zeros((count, 4), np.float32)
    contacts[:, :2] = 1
    return PackedMotion(
        name=f"swaying{seed:02d}",
        skeleton="cmu_asf",
        subject=seed,
        label="walk" if seed % 2 else "dance",
        split=split,
        source_frame_rate=120.0,
        betas=betas.numpy(),
        rotations=rotations.numpy(),
        pelvis=pelvis.numpy(),
        contacts=contacts,
    )


def tiny_mocap(body: BodyModel, folder: Path) -> MocapSet:
    """Six clips to train on, one of them shorter than a window, and two to validate on."""
    clips = [swaying(body, count, seed) for seed, count in enumerate((120, 90, 150, 40, 75, 100))]
    clips += [swaying(body, 90, seed, "validation") for seed in (6, 7)]
    return write_mocap_set(folder, clips)
