# SPDX-License-Identifier: Apache-2.0
"""The loss of our encoder: nothing for the truth, more for what is farther off, gradients everywhere."""

from __future__ import annotations

import pytest
import roma
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.encoder.model import HMROutput
from fasthmr.training.encoder_losses import WEIGHTS, LandmarkCorrection, encoder_loss
from fasthmr.training.evidence.errors import exact, usual
from fasthmr.training.single_frames import EncoderBatch, observed
from tests.training.tiny_people import true_frames


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def batch(body: BodyModel) -> EncoderBatch:
    return observed(true_frames(body, 5, seed=1), exact(), torch.Generator().manual_seed(0))


def truth_of(batch: EncoderBatch) -> HMROutput:
    depth = batch.pelvis[:, 2:]
    camera = torch.cat([batch.scale[:, None] / depth, batch.pelvis[:, :2]], dim=1)
    return HMROutput(batch.rotations, batch.betas, camera, torch.zeros(5, 4))


def test_the_truth_costs_nothing(body: BodyModel, batch: EncoderBatch) -> None:
    loss, parts = encoder_loss(truth_of(batch), batch, body)
    assert set(parts) == set(WEIGHTS)
    assert all(float(part) < 1e-5 for part in parts.values())
    assert float(loss) < 1e-4


def test_each_part_sees_its_own_error(body: BodyModel, batch: EncoderBatch) -> None:
    truth = truth_of(batch)
    turned = batch.rotations.clone()
    turned[:, 4] = turned[:, 4] @ roma.rotvec_to_rotmat(torch.tensor([0.5, 0, 0]))
    farther = truth.camera * torch.tensor([0.8, 1, 1])
    aside = truth.camera + torch.tensor([0, 0.2, 0])
    changes = {
        "joints": HMROutput(turned, truth.betas, truth.camera, truth.token),
        "scale": HMROutput(truth.rotmat, truth.betas, farther, truth.token),
        "places": HMROutput(truth.rotmat, truth.betas, aside, truth.token),
        "betas": HMROutput(truth.rotmat, truth.betas + 1, truth.camera, truth.token),
    }
    for name, output in changes.items():
        _, parts = encoder_loss(output, batch, body)
        assert float(parts[name]) > 0.005, name
        assert (float(parts["scale"]) > 1e-4) == (name == "scale")
        assert (float(parts["rotations"]) > 1e-4) == (name == "joints")
        assert (float(parts["betas"]) > 1e-4) == (name == "betas")


def test_places_are_projected_by_hand(body: BodyModel, batch: EncoderBatch) -> None:
    """A body moved by 10 cm to the right: its joints move by that over depth, in halves of the crop."""
    truth = truth_of(batch)
    moved = HMROutput(truth.rotmat, truth.betas, truth.camera + torch.tensor([0, 0.1, 0]), truth.token)
    _, parts = encoder_loss(moved, batch, body)
    joints, _ = body.joints(batch.rotations, batch.betas)
    depths = (joints - joints[:, :1])[..., 2] + batch.pelvis[:, None, 2]
    expected = (0.1 * batch.scale[:, None] / depths).mean() / 2  # of x and y, x alone is off
    assert float(parts["places"]) == pytest.approx(float(expected), rel=1e-3)


def test_landmarks_are_corrected_by_their_tokens(body: BodyModel) -> None:
    batch = observed(true_frames(body, 5, seed=1), usual(), torch.Generator().manual_seed(0))
    correction = LandmarkCorrection(4)
    tokens = torch.randn(5, 25, 4, generator=torch.Generator().manual_seed(1))
    told, truth = batch.landmarks, batch.marks
    total = 0.0
    for person in range(5):
        for mark in range(25):
            for number, place in enumerate((0, 1, 3, 4, 5)):
                total += min(1.0, abs(float(told[person, mark, place] - truth[person, mark, number])))
    assert correction(tokens, batch).item() == pytest.approx(total / (5 * 25 * 5), rel=1e-4)
    # Tokens that hold the error correct it.
    exactly = LandmarkCorrection(5)
    with torch.no_grad():
        exactly.read.weight.copy_(torch.eye(5))
    assert exactly(truth - told[..., [0, 1, 3, 4, 5]], batch).item() < 1e-6


def test_impossible_cameras_cost_much_and_break_nothing(body: BodyModel, batch: EncoderBatch) -> None:
    camera = torch.zeros(5, 3).requires_grad_()
    loss, _ = encoder_loss(
        HMROutput(batch.rotations, batch.betas, camera - torch.tensor([1.0, 0, 0]), torch.zeros(5, 4)),
        batch,
        body,
    )
    loss.backward()
    assert torch.isfinite(loss)
    assert camera.grad is not None
    assert torch.isfinite(camera.grad).all()
