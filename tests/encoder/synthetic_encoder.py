# SPDX-License-Identifier: Apache-2.0
"""What an encoder would answer to a body in known motion, more or less right."""

from __future__ import annotations

import numpy as np
import roma
import torch

from fasthmr.encoder.encoding import Encoding
from fasthmr.evidence import Evidence
from tests.decoder.landmark_fit.synthetic import INTRINSICS, turned_by_chance


def line_of_sight(squares: np.ndarray) -> torch.Tensor:
    """(T, 3, 3): from a camera that looks at the square's centre to one that looks at the picture's."""
    focal, middle = INTRINSICS[0, 0], INTRINSICS[:2, 2]
    toward = np.concatenate([(squares[:, :2] - middle) / focal, np.ones((len(squares), 1))], axis=1)
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    axis = np.cross([0.0, 0.0, 1.0], toward)
    angle = np.arccos(toward[:, 2])
    rotvec = axis / np.linalg.norm(axis, axis=1, keepdims=True) * angle[:, None]
    return roma.rotvec_to_rotmat(torch.from_numpy(rotvec)).float()


def encode(
    evidence: Evidence,
    rotations: torch.Tensor,
    pelvis: torch.Tensor,
    kind: str = "hmr2",
    degrees: float = 3.0,
    frames: np.ndarray | None = None,
) -> Encoding:
    """What an encoder of a kind would answer.

    Args:
        evidence: T frames.
        rotations: (T, 24, 3, 3) the truth, the root's in the camera frame.
        pelvis: (T, 3) metres in the camera frame.
        kind: "hmr2", "camerahmr" or "open".
        degrees: mean error of a joint.
        frames: rows that it answers to; all when left out.
    """
    boxes = evidence.boxes
    side = 1.2 * (boxes[:, 2:] - boxes[:, :2]).max(1)
    squares = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, side[:, None]], axis=1).astype(np.float32)
    answer = turned_by_chance(rotations, degrees, seed=4)
    if kind != "camerahmr":
        answer = torch.cat([(line_of_sight(squares).mT @ answer[:, 0])[:, None], answer[:, 1:]], dim=1)
    scale = 2 * INTRINSICS[0, 0] / pelvis[:, 2].numpy() / side
    camera = np.stack([scale, 0.3 + 0 * scale, -0.2 + 0 * scale], axis=1)  # the place in the crop is not used
    rows = np.arange(len(rotations)) if frames is None else frames
    rng = np.random.default_rng(8)
    return Encoding(
        frame_indices=evidence.frame_indices[rows],
        rotmat=answer.numpy()[rows],
        betas=rng.normal(0.5, 0.1, (len(rows), 10)).astype(np.float32),
        camera=camera.astype(np.float32)[rows],
        token=rng.normal(size=(len(rows), 6)).astype(np.float32),
        squares=squares[rows],
        forced=np.zeros(len(rows), np.int32),
        kind=kind,
    )
