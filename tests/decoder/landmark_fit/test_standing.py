# SPDX-License-Identifier: Apache-2.0
"""Feet that stand still are told from feet that move, and the fit keeps them where they stand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import roma
import torch

from fasthmr.decoder.landmark_fit import FitSettings, fit_landmarks
from fasthmr.decoder.landmark_fit.fit import _targets
from fasthmr.decoder.landmark_fit.objective import Deviations
from fasthmr.decoder.landmark_fit.standing import standing_feet
from fasthmr.evidence import Evidence
from fasthmr.placement.soles import find_soles
from tests.decoder.landmark_fit.synthetic import BODY, FACING_CAMERA, MARKS, evidence_of


def kicking(frames: int = 60, pixel_noise: float = 3.0) -> Evidence:
    """Somebody who stands on the right foot while the left one swings, seen by a noisy detector."""
    times = torch.arange(frames) / 30
    turns = torch.zeros(frames, 24, 3)
    turns[:, 1, 0] = -0.7 + 0.6 * torch.sin(2 * np.pi * times)
    turns[:, 16, 2], turns[:, 17, 2] = -1.2, 1.2
    rotations = roma.rotvec_to_rotmat(turns)
    rotations[:, 0] = FACING_CAMERA
    pelvis = torch.tensor([0.1, 0.0, 4.0]).expand(frames, 3)
    return evidence_of(rotations, pelvis, torch.zeros(10), pixel_noise=pixel_noise, world_noise=0.03)[0]


def test_the_standing_foot_is_found() -> None:
    evidence = kicking()
    still = standing_feet(_targets(evidence, MARKS), torch.full((60,), 4.0), MARKS)
    right = still[:, [MARKS.position("right_heel"), MARKS.position("right_foot_index")]]
    left = still[:, [MARKS.position("left_heel"), MARKS.position("left_foot_index")]]
    assert right.mean() > 0.75
    assert left.mean() < 0.35
    others = [k for k in range(len(MARKS.indices)) if still[:, k].max() == 0]
    assert len(others) == len(MARKS.indices) - 4


def test_a_panning_camera_takes_the_evidence_away() -> None:
    evidence = kicking(pixel_noise=0.0)
    image = evidence.landmarks_image.copy()
    image[..., 0] += 12 * np.arange(60)[:, None]  # 1 m/s at this distance
    still = standing_feet(
        _targets(replace(evidence, landmarks_image=image), MARKS), torch.full((60,), 4.0), MARKS
    )
    assert still.max() < 0.01


def test_short_tracks_say_nothing() -> None:
    targets = _targets(kicking(2), MARKS)
    assert standing_feet(targets, torch.full((2,), 4.0), MARKS).max() == 0


def test_standing_feet_slide_less() -> None:
    evidence = kicking()

    def slide(deviations: Deviations) -> float:
        estimate = fit_landmarks(evidence, BODY, settings=FitSettings(deviations=deviations))
        betas = torch.from_numpy(estimate.betas)
        joints, frames = BODY.joints(
            torch.from_numpy(estimate.rotations), betas, torch.from_numpy(estimate.translation)
        )
        right = find_soles(BODY, betas).place(joints, frames)[:, 2:]
        return float(right.diff(dim=0).norm(dim=-1).mean())

    assert slide(Deviations()) < 0.6 * slide(Deviations(standing_speed=100.0))
