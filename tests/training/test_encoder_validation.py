# SPDX-License-Identifier: Apache-2.0
"""Errors of our encoder against plain loops, and those of the landmarks beside them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.body.landmark_vertices import LANDMARK_JOINTS
from fasthmr.training.encoder_validation import encoder_errors
from fasthmr.training.evidence.errors import exact, usual
from fasthmr.training.single_frames import EncoderBatch, observed
from tests.encoder.open_network import TINY_CROPS, network
from tests.training.tiny_people import true_frames

MODEL = network(TINY_CROPS, torch.float32)


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def batch(body: BodyModel) -> EncoderBatch:
    found = observed(true_frames(body, 5, seed=1), usual(), torch.Generator().manual_seed(0))
    crops = torch.randn(5, 2, 256, 192, generator=torch.Generator().manual_seed(1)).bfloat16()
    return found._replace(crops=crops)


def test_errors_equal_loops(body: BodyModel, batch: EncoderBatch) -> None:
    errors = encoder_errors(MODEL, batch, body, chunk=2)
    assert batch.crops is not None
    output = MODEL(batch.crops, landmarks=batch.landmarks)
    made, _ = body.joints(output.rotmat, output.betas)
    true, _ = body.joints(batch.rotations, batch.betas)
    distances, limbs, marks, angles = [], [], [], []
    for person in range(5):
        for joint in range(24):
            a = (made[person, joint] - made[person, 0]).numpy()
            b = (true[person, joint] - true[person, 0]).numpy()
            distances.append(np.linalg.norm(a - b))
            turn = output.rotmat[person, joint].T @ batch.rotations[person, joint]
            angle = math.degrees(math.acos(max(-1, min(1, (float(turn.trace()) - 1) / 2))))
            if joint:
                angles.append(angle)
        hips = [one[person, [1, 2]].mean(0) for one in (made, true)]
        middle = batch.world[person, [23, 24]].mean(0)
        for mark, joint in LANDMARK_JOINTS.items():
            b = true[person, joint] - hips[1]
            limbs.append(float((made[person, joint] - hips[0] - b).norm()))
            marks.append(float((batch.world[person, mark] - middle - b).norm()))
    assert errors.mpjpe_mm == pytest.approx(1000 * np.mean(distances), rel=1e-4)
    assert errors.limbs_mm == pytest.approx(1000 * np.mean(limbs), rel=1e-4)
    assert errors.landmarks_mm == pytest.approx(1000 * np.mean(marks), rel=1e-4)
    assert errors.degrees == pytest.approx(np.mean(angles), rel=1e-3)
    assert errors.pa_mpjpe_mm < errors.mpjpe_mm
    assert errors.limbs_pa_mm < errors.limbs_mm


def test_landmarks_without_errors_are_right(body: BodyModel) -> None:
    batch = observed(true_frames(body, 4, seed=2), exact(), torch.Generator().manual_seed(0))
    errors = encoder_errors(MODEL, batch, body)
    assert errors.landmarks_mm < 1
    assert errors.landmarks_pa_mm < 1
    assert errors.mpjpe_mm > 50  # random weights


def test_the_guess_is_measured_where_there_are_no_pictures(body: BodyModel, batch: EncoderBatch) -> None:
    blind = encoder_errors(MODEL, batch._replace(crops=None), body)
    guess = MODEL.smpl_head.guess(batch.landmarks)
    assert guess is not None
    rotations, betas, _ = MODEL.smpl_head.guessed(guess)
    made, true = (body.joints(*one)[0] for one in ((rotations, betas), (batch.rotations, batch.betas)))
    distance = ((made - made[:, :1]) - (true - true[:, :1])).norm(dim=-1).mean()
    assert blind.mpjpe_mm == pytest.approx(1000 * float(distance), rel=1e-4)
    assert blind.mpjpe_mm != encoder_errors(MODEL, batch, body).mpjpe_mm


def test_measuring_leaves_the_network_as_it_was(body: BodyModel, batch: EncoderBatch) -> None:
    model = network(TINY_CROPS, torch.float32).train()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    encoder_errors(model, batch, body)
    assert model.training
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
