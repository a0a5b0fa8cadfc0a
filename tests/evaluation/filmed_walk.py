# SPDX-License-Identifier: Apache-2.0
"""A walk whose truth, and whose recovery to any exactness, are known; and a little motion capture set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from fasthmr.body.skeleton import INDEX
from fasthmr.evaluation.ground_truth import GroundTruth
from fasthmr.evidence import BodyEstimate
from fasthmr.motion import Motion
from fasthmr.placement import place
from fasthmr.training.mocap.packed import MocapSet, PackedMotion, write_mocap_set
from tests.decoder.landmark_fit.synthetic import BODY, INTRINSICS, evidence_of, walk

SIZE = (1280, 720)


def filmed(frames: int = 40) -> GroundTruth:
    """The truth of a walk across the picture, by a level camera 1 m above the floor."""
    rotations, pelvis = walk(frames)
    camera = np.tile(np.eye(4), (frames, 1, 1))
    camera[:, :3, :3] = [[1, 0, 0], [0, 0, -1], [0, 1, 0]]
    camera[:, :3, 3] = camera[0, :3, :3] @ [0, 0, -1.0]
    return GroundTruth(
        clip="walk",
        set_up="still",
        frame_rate=30.0,
        image_size=np.array(SIZE),
        intrinsics=INTRINSICS,
        camera_from_world=camera,
        rotations=rotations.numpy(),
        pelvis=pelvis.numpy(),
        betas=np.zeros(10),
        contacts=np.zeros((frames, 4)),
        visible=np.ones(frames, bool),
    )


def recovered(frames: int = 40, shift: tuple[float, float, float] = (0, 0, 0), first: int = 0) -> Motion:
    """The motion of that walk, as exact as the truth, from a frame on; stands elsewhere by a shift."""
    rotations, pelvis = walk(frames)
    rotations, pelvis = rotations[first:], pelvis[first:] + torch.tensor(shift)
    evidence, joints = evidence_of(rotations, pelvis, torch.zeros(10))
    object.__setattr__(evidence, "frame_indices", evidence.frame_indices + first)
    object.__setattr__(evidence, "timestamps", evidence.timestamps + first / 30)
    estimate = BodyEstimate(
        rotations=rotations.numpy(),
        betas=np.zeros(10, np.float32),
        translation=(pelvis - BODY.rest_joints(torch.zeros(10))[0]).numpy(),
        joints=joints.astype(np.float32),
        confidence=np.ones((len(joints), 24), np.float32),
    )
    return place([estimate], [evidence], BODY, {})[0]


def little_set(folder: Path, test_clips: int = 4, frames: int = 170) -> MocapSet:
    """Test clips of different activities, and one of the training split; all walk on a floor at 0."""
    clips = []
    for number in range(test_clips + 1):
        rotations, pelvis = _walk_in_world(frames, 0.4 + 0.1 * number)
        clips.append(
            PackedMotion(
                name=f"clip{number}",
                skeleton="cmu_asf",
                subject=number,
                label=("walk", "jump", "hop", "duck under", "dance")[number % 5],
                split="train" if number == test_clips else "test",
                source_frame_rate=120.0,
                betas=np.full(10, 0.1 * number, np.float32),
                rotations=rotations,
                pelvis=pelvis,
                contacts=np.zeros((frames, 4), np.float32),
            )
        )
    return write_mocap_set(folder, clips)


def _walk_in_world(frames: int, speed: float) -> tuple[np.ndarray, np.ndarray]:
    """Rotations (T, 24, 3, 3) and pelvis (T, 3) of a walk along +x, z up."""
    rotations, _ = walk(frames)
    turns = rotations.numpy().astype(np.float64)
    turns[:, INDEX["pelvis"]] = (
        Rotation.from_euler("z", 90, degrees=True) * Rotation.from_euler("x", 90, degrees=True)
    ).as_matrix()
    pelvis = np.zeros((frames, 3))
    pelvis[:, 0] = speed * np.arange(frames) / 30
    pelvis[:, 2] = 0.95
    return turns.astype(np.float32), pelvis.astype(np.float32)
