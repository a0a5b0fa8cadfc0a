# SPDX-License-Identifier: Apache-2.0
"""What an encoder is worth to the fit: ``python -m tests.encoder.evidence_table`` prints the docs' table."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import roma
import torch

from fasthmr.body.skeleton import INDEX
from fasthmr.decoder.landmark_fit import fit_landmarks
from fasthmr.encoder.as_evidence import add_encoding
from tests.decoder.landmark_fit.synthetic import BODY, acting, evidence_of, hide
from tests.encoder.synthetic_encoder import encode

FRAMES = 90
ARM = [INDEX[f"left_{joint}"] for joint in ("elbow", "wrist", "hand")]
TWISTED = [
    INDEX[f"{side}_{joint}"] for side in ("left", "right") for joint in ("hip", "shoulder", "elbow", "wrist")
]
TWISTED += [INDEX["neck"], INDEX["head"]]


def main() -> None:
    """Print the table: landmarks alone, an encoder alone, and both."""
    rotations, pelvis = acting(FRAMES)
    evidence, truth = evidence_of(rotations, pelvis, torch.zeros(10), pixel_noise=4, world_noise=0.03)
    world = evidence.landmarks_world.copy()
    world[..., 2] += np.random.default_rng(5).normal(0, 0.08, 33)
    evidence = hide(
        replace(evidence, landmarks_world=world), ("left_elbow", "left_wrist", "left_index", "left_pinky")
    )

    def figures(joints: np.ndarray, turned: np.ndarray) -> str:
        error = 1e3 * np.linalg.norm((joints - joints[:, :1]) - (truth - truth[:, :1]), axis=-1)
        angles = roma.rotmat_geodesic_distance(torch.from_numpy(turned), rotations).rad2deg().numpy()
        return f"{error.mean():.0f} | {error[:, ARM].mean():.0f} | {angles[:, TWISTED].mean():.0f}"

    def row(*cells: str) -> None:
        sys.stdout.write(f"| {' | '.join(cells)} |\n")

    alone = fit_landmarks(evidence, BODY)
    row("none", "", "", "", "", figures(alone.joints, alone.rotations))
    for degrees in (3, 5, 7, 10, 15, 30, 120):
        encoding = encode(evidence, rotations, pelvis, degrees=degrees)
        told = add_encoding(evidence, encoding, BODY)
        assert told.joints is not None
        assert told.rotations is not None
        assert told.joint_confidence is not None
        both = fit_landmarks(told, BODY)
        row(
            f"{degrees}°",
            figures(told.joints, told.rotations),
            f"{told.joint_confidence.mean():.2f}",
            figures(both.joints, both.rotations),
        )


if __name__ == "__main__":
    main()
