# SPDX-License-Identifier: Apache-2.0
"""A decoded motion that is off is laid onto what the picture shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fasthmr.decoder.landmark_fit.fit import FitSettings, fit_landmarks
from fasthmr.decoder.refine import RefineSettings, refine
from fasthmr.evidence import BodyEstimate, Evidence
from tests.decoder.landmark_fit.synthetic import BODY, acting, evidence_of, hide, turned_by_chance

QUICK = RefineSettings(fit=replace(RefineSettings().fit, shape_steps=40, motion_steps=60))


def decoded(rotations: torch.Tensor, confidence: float = 0.8) -> BodyEstimate:
    """What a decoder might say: rotations, somewhere before the camera."""
    count = len(rotations)
    joints, _ = BODY.joints(rotations, torch.zeros(10))
    generator = torch.Generator().manual_seed(4)
    up = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return BodyEstimate(
        rotations=rotations.numpy().astype(np.float32),
        betas=np.zeros(10, np.float32),
        translation=np.zeros((count, 3), np.float32),
        joints=joints.numpy().astype(np.float32),
        confidence=np.full((count, 24), confidence, np.float32),
        up=up.numpy(),
        contacts=np.full((count, 4), 0.25, np.float32),
    )


@pytest.fixture(scope="module")
def seen() -> tuple[Evidence, np.ndarray, torch.Tensor]:
    """A person whose right arm nobody sees; noisy evidence, true joints, true rotations."""
    rotations, pelvis = acting(40)
    evidence, joints = evidence_of(rotations, pelvis, torch.zeros(10), pixel_noise=3, world_noise=0.05)
    hidden = ("right_elbow", "right_wrist", "right_pinky", "right_index", "right_thumb")
    return hide(evidence, hidden), joints, rotations


def off(found: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance of joints about the pelvis, metres."""
    return float(np.linalg.norm((found - found[:, :1]) - (truth - truth[:, :1]), axis=-1).mean())


def test_refined_is_nearer_than_decoder_and_fit_alone(
    seen: tuple[Evidence, np.ndarray, torch.Tensor],
) -> None:
    evidence, truth, rotations = seen
    raw = decoded(turned_by_chance(rotations, 8.0, seed=1))
    refined = refine(evidence, raw, BODY, settings=QUICK)
    alone = fit_landmarks(evidence, BODY, settings=FitSettings(shape_steps=40, motion_steps=60))
    assert off(refined.joints, truth) < 0.8 * off(raw.joints, truth)
    assert off(refined.joints, truth) < 0.9 * off(alone.joints, truth)


def test_what_only_the_decoder_knows_is_kept(seen: tuple[Evidence, np.ndarray, torch.Tensor]) -> None:
    evidence, _, rotations = seen
    raw = decoded(rotations)
    refined = refine(evidence, raw, BODY, settings=QUICK)
    assert np.array_equal(refined.confidence, raw.confidence)
    assert refined.contacts is raw.contacts
    assert refined.up is raw.up
    assert refined.betas.shape == (10,)


def test_a_joint_that_the_decoder_doubts_is_believed_a_little(
    seen: tuple[Evidence, np.ndarray, torch.Tensor],
) -> None:
    evidence, truth, rotations = seen
    unsure = decoded(rotations, confidence=0.0)
    right = [17, 19, 21, 23]  # the hidden arm: only the decoder knows where it is
    little = refine(evidence, unsure, BODY, settings=QUICK)
    none = refine(evidence, unsure, BODY, settings=replace(QUICK, least_belief=0.0))
    arm = [off(one.joints[:, [0, *right]], truth[:, [0, *right]]) for one in (little, none)]
    assert arm[0] < 0.85 * arm[1]


def test_motion_of_another_length_is_refused(seen: tuple[Evidence, np.ndarray, torch.Tensor]) -> None:
    evidence, _, rotations = seen
    with pytest.raises(ValueError, match="39 of motion"):
        refine(evidence, decoded(rotations[1:]), BODY)
