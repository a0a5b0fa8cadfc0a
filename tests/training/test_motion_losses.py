# SPDX-License-Identifier: Apache-2.0
"""What training makes small, against loops over windows, frames and joints."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.body.skeleton import PARENTS
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from fasthmr.decoder.networks import Read
from fasthmr.training.motion_losses import LossWeights, Truth, error_likelihood, motion_loss, truth_of
from tests.decoder.smooth_people import people

FRAMES = 8
WEIGHTS = LossWeights()


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def batch(body: BodyModel) -> tuple[EvidenceBatch, MotionBatch]:
    evidence, motion = people(body, 3, FRAMES)
    valid = motion.valid.clone()
    valid[1, 5:] = False
    valid[2, 1:] = False
    return evidence, replace(motion, valid=valid)


@pytest.fixture(scope="module")
def truth(batch: tuple[EvidenceBatch, MotionBatch], body: BodyModel) -> Truth:
    return truth_of(batch[1], batch[0], body)


def disturbed(truth: Truth, size: float = 0.1, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        truth.features + size * torch.randn(truth.features.shape, generator=generator),
        truth.betas + size * torch.randn(truth.betas.shape, generator=generator),
    )


def loss_of(truth: Truth, features: torch.Tensor, betas: torch.Tensor, batch, body: BodyModel, **others):  # type: ignore[no-untyped-def]
    deviation = others.get("deviation", torch.ones(154))
    return motion_loss(features, betas, truth, deviation, body, batch[0].step, others.get("weights", WEIGHTS))


def naive_joints(features: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Joints (24, 3) about the pelvis of one frame, by walking the tree."""
    turns = []
    for joint in range(24):
        first, second = features[6 * joint : 6 * joint + 3], features[6 * joint + 3 : 6 * joint + 6]
        first = first / np.linalg.norm(first)
        second = second - (first @ second) * first
        second = second / np.linalg.norm(second)
        turns.append(np.stack([first, second, np.cross(first, second)], axis=-1))
    places = [np.zeros(3)]
    for joint in range(1, 24):
        parent = PARENTS[joint]
        places.append(places[parent] + turns[parent] @ (rest[joint] - rest[parent]))
    return np.stack(places)


def test_joints_of_the_truth_are_those_of_the_body(batch, truth: Truth, body: BodyModel) -> None:  # type: ignore[no-untyped-def]
    _, motion = batch
    flat = motion.rotations.flatten(0, 1)
    joints, _ = body.joints(flat, motion.betas.repeat_interleave(FRAMES, 0))
    joints = (joints - joints[:, :1]).unflatten(0, (3, FRAMES))
    # the same up to the turn of the view: distances between joints are equal
    assert torch.allclose(torch.cdist(truth.joints, truth.joints), torch.cdist(joints, joints), atol=1e-4)
    assert truth.valid.sum() == FRAMES + 5 + 1


def test_nothing_to_make_smaller_at_the_truth(batch, truth: Truth, body: BodyModel) -> None:  # type: ignore[no-untyped-def]
    loss, parts, distance = loss_of(truth, truth.features, truth.betas, batch, body)
    assert loss < 2e-3
    for name, part in parts.items():
        assert part < 2e-5, name
    assert distance.max() < 2e-5
    assert loss_of(truth, *disturbed(truth), batch, body)[0] > 1


def test_parts_are_those_of_loops(batch, truth: Truth, body: BodyModel) -> None:  # type: ignore[no-untyped-def]
    evidence, _ = batch
    deviation = torch.linspace(0.3, 2, 154)
    features, betas = disturbed(truth)
    loss, parts, distance = loss_of(truth, features, betas, batch, body, deviation=deviation)
    made, wanted = features.double().numpy(), truth.features.double().numpy()
    speed_off, stands = (made - wanted)[..., 144:147], wanted[..., 150:] > 0
    valid, spread = truth.valid.numpy() > 0, deviation.double().numpy()
    rest = [body.rest_joints(one).double().numpy() for one in (betas, truth.betas)]
    found: dict[str, list[float]] = {name: [] for name in ("features", "joints", "steps", "bends", "planted")}
    for row in range(3):
        joints = np.stack([naive_joints(frame, rest[0][row]) for frame in made[row]])
        true = np.stack([naive_joints(frame, rest[1][row]) for frame in wanted[row]])
        gap = joints - true
        np.testing.assert_allclose(distance[row].numpy(), np.linalg.norm(gap, axis=-1), atol=1e-4)
        for frame in range(FRAMES):
            here = [valid[row, frame - back] if frame >= back else False for back in range(3)]
            if here[0]:
                off = np.abs(made[row, frame] - wanted[row, frame]) / spread
                smooth = np.where(off < 0.2, 0.5 * off**2 / 0.2, off - 0.1)
                found["features"].append(smooth.mean())
                found["joints"].append(np.linalg.norm(gap[frame], axis=-1).mean())
            if all(here[:2]):
                step = gap[frame] - gap[frame - 1]
                found["steps"].append(np.linalg.norm(step, axis=-1).mean())
                for place, joint in enumerate((7, 10, 8, 11)):  # ankle and foot of the left, then the right
                    if stands[row, frame - 1 : frame + 1, place].all():
                        speed = 30 * step[joint] + speed_off[row, frame - 1]
                        found["planted"].append(float(np.linalg.norm(speed)))
            if all(here):
                bend = gap[frame] - 2 * gap[frame - 1] + gap[frame - 2]
                found["bends"].append(np.linalg.norm(bend, axis=-1).mean())
    assert torch.allclose(evidence.step, torch.tensor(1 / 30))
    assert len(found["planted"]) >= 5
    total = 0.0
    for name, values in found.items():
        assert float(parts[name]) == pytest.approx(np.mean(values), rel=1e-3), name
        total += getattr(WEIGHTS, name) * np.mean(values)
    square = float((betas - truth.betas).square().mean())
    assert float(parts["betas"]) == pytest.approx(square, rel=1e-5)
    assert float(loss) == pytest.approx(total + WEIGHTS.betas * square, rel=1e-3)


def test_frames_after_the_clip_do_not_count(batch, truth: Truth, body: BodyModel) -> None:  # type: ignore[no-untyped-def]
    features = truth.features.clone()
    features[1, 5:] += 1
    features[2, 1:] += 1
    assert loss_of(truth, features, truth.betas, batch, body)[0] < 2e-3


def test_gradients_are_finite_at_the_truth(batch, truth: Truth, body: BodyModel) -> None:  # type: ignore[no-untyped-def]
    features = truth.features.clone().requires_grad_()
    betas = truth.betas.clone().requires_grad_()
    loss_of(truth, features, betas, batch, body)[0].backward()
    assert features.grad is not None
    assert betas.grad is not None
    assert features.grad.isfinite().all()
    assert betas.grad.isfinite().all()


def test_what_moves_counts_less_at_first() -> None:
    begin, middle, end = (WEIGHTS.eased(done) for done in (0.0, 0.25, 1.0))
    assert end == WEIGHTS
    assert begin.steps == pytest.approx(0.1 * WEIGHTS.steps)
    assert begin.planted < middle.planted < end.planted
    assert begin.bends < middle.bends < end.bends
    assert (begin.joints, begin.features) == (WEIGHTS.joints, WEIGHTS.features)


def test_expected_error_is_best_at_the_mean_error() -> None:
    distance = torch.distributions.Exponential(1 / 0.07).sample((40, 50, 24))
    valid = torch.ones(40, 50)
    valid[:, 30:] = 0
    distance[:, 30:] = 10.0  # not part of the clips
    mean = float(distance[:, :30].mean())

    def told(error: float) -> float:
        read = Read(torch.zeros(0), torch.zeros(0), torch.full((40, 50, 24), error))
        return float(error_likelihood(read, distance, valid))

    assert told(mean) == pytest.approx(1 + math.log(mean), abs=1e-4)
    sizes = [mean * factor for factor in (0.25, 0.5, 0.8, 0.95, 1.05, 1.25, 2.0, 4.0)]
    assert all(told(mean) < told(size) for size in sizes)
    assert [told(size) for size in sizes[:4]] == sorted((told(size) for size in sizes[:4]), reverse=True)
    assert [told(size) for size in sizes[4:]] == sorted(told(size) for size in sizes[4:])


def test_expected_error_does_not_move_the_joints() -> None:
    distance = torch.rand(2, 3, 24).requires_grad_()
    error = torch.full((2, 3, 24), 0.05).requires_grad_()
    error_likelihood(Read(torch.zeros(0), torch.zeros(0), error), distance, torch.ones(2, 3)).backward()
    assert error.grad is not None
    assert distance.grad is None
