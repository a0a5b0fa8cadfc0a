# SPDX-License-Identifier: Apache-2.0
"""The tiny set of motion before random cameras, for the tests of evidence."""

from __future__ import annotations

from pathlib import Path

import torch

from fasthmr.body import BodyModel
from fasthmr.training.evidence.cameras import Cameras, random_cameras
from fasthmr.training.evidence.motion_windows import MotionWindows, WorldMotion
from fasthmr.training.mocap.packed import MocapSet
from tests.training.tiny_mocap import tiny_mocap


def windows_of(
    body: BodyModel, folder: Path, window: int = 24, seed: int = 0, augmented: bool = True
) -> MotionWindows:
    """Windows of the tiny set, which is made in the folder unless it is there."""
    mocap = MocapSet.open(folder) if (folder / "clips.json").exists() else tiny_mocap(body, folder)
    generator = torch.Generator().manual_seed(seed)
    return MotionWindows(mocap, body, generator, window, augmented=augmented)


def before_cameras(
    body: BodyModel, folder: Path, count: int, window: int = 24, seed: int = 0
) -> tuple[WorldMotion, Cameras]:
    """Windows of motion and a camera for each."""
    motion = windows_of(body, folder, window, seed).draw(count)
    return motion, random_cameras(motion, torch.Generator().manual_seed(seed + 1))
