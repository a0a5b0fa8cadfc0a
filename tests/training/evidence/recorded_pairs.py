# SPDX-License-Identifier: Apache-2.0
"""Recorded pairs that nobody recorded: a detector whose errors are known, in the files of a recording."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from fasthmr.body import BodyModel
from fasthmr.files import save_arrays
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from fasthmr.training.evidence.cameras import random_cameras
from fasthmr.training.evidence.errors import ErrorParameters
from fasthmr.training.evidence.synthesis import EvidenceSynthesis, motion_in_camera
from fasthmr.training.mocap.packed import MocapSet


def write_pairs(
    folder: Path,
    mocap: MocapSet,
    body: BodyModel,
    errors: ErrorParameters,
    files: int = 1,
    sequences: int = 4,
    frames: int = 24,
    gaps: bool = False,
) -> list[dict[str, np.ndarray]]:
    """Write ``pairs0000.npz`` and so on, as :func:`fasthmr.training.evidence.pairs.record_pairs` does."""
    synthesis = EvidenceSynthesis(mocap, body, errors, seed=1, window=frames, gaps=gaps, encoder=0)
    written = []
    for number in range(files):
        motion = synthesis._windows.draw(sequences)
        cameras = random_cameras(motion, synthesis._generator)
        truth = motion_in_camera(motion, cameras)
        marks = cameras.points(BodyLandmarks(body).place(motion.joints, motion.turns, motion.betas))
        pixels = cameras.project(marks)
        inside = ((pixels >= 0) & (pixels < cameras.image_size[:, None, None])).all(-1)
        with torch.no_grad():
            image, world, visibility, boxes = synthesis._detected(marks, cameras, motion.step)
        values = {
            "landmarks_image": image,
            "landmarks_world": world,
            "visibility": visibility,
            "boxes": boxes,
            "intrinsics": cameras.intrinsics,
            "step": motion.step,
            "image_size": cameras.image_size,
            "true_landmarks": marks,
            "inside": inside & (marks[..., 2] > 0.2),
            **vars(truth),
        }
        arrays = {name: value.numpy() for name, value in values.items()}
        save_arrays(folder / f"pairs{number:04d}.npz", arrays)
        written.append(arrays)
    return written
