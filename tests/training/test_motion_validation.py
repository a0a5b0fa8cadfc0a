# SPDX-License-Identifier: Apache-2.0
"""Figures of validation, against NumPy with loops and known cases."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.decoder.evidence_features import evidence_features
from fasthmr.decoder.motion_features import read_features
from fasthmr.training import motion_validation
from fasthmr.training.motion_losses import Truth, truth_of
from fasthmr.training.motion_validation import align, compare, motion_errors
from tests.decoder.smooth_people import people
from tests.decoder.tiny_decoder import WINDOW, tiny_decoder

FRAMES = 9


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def truth(body: BodyModel) -> Truth:
    evidence, motion = people(body, 3, FRAMES)
    valid = motion.valid.clone()
    valid[1, 6:] = False
    return truth_of(replace(motion, valid=valid), evidence, body)


def naive_align(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Umeyama's similarity for one set of points (J, 3)."""
    a, b = points - points.mean(0), target - target.mean(0)
    u, size, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = (size * np.diag(sign)).sum() / (a**2).sum()
    return scale * a @ rotation.T + target.mean(0)


def test_align_undoes_a_similarity() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(5, 24, 3, generator=generator)
    turn = roma.rotvec_to_rotmat(torch.randn(5, 3, generator=generator))
    moved = 0.7 * target @ turn.mT + torch.randn(5, 1, 3, generator=generator)
    assert torch.allclose(align(moved, target), target, atol=1e-4)


@pytest.mark.parametrize("mirrored", [False, True])
def test_align_is_the_naive_one(mirrored: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    points, target = torch.randn(6, 24, 3, generator=generator), torch.randn(6, 24, 3, generator=generator)
    if mirrored:  # the best orthogonal matrix is a reflection, which is not allowed
        points = target * torch.tensor([-1.0, 1.0, 1.0])
    made = align(points, target)
    for row in range(6):
        wanted = naive_align(points[row].double().numpy(), target[row].double().numpy())
        np.testing.assert_allclose(made[row].numpy(), wanted, atol=1e-3)
    if mirrored:
        assert (made - target).norm(dim=-1).mean() > 0.1


def test_truth_has_no_error(truth: Truth) -> None:
    error = compare(truth.joints, read_features(truth.features).up, truth, torch.full((3,), 1 / 30))
    assert error.mpjpe_mm == 0
    assert error.pa_mpjpe_mm < 0.01
    assert error.accel == 0
    assert error.jitter == 1
    assert error.up_degrees < 0.1


def test_figures_are_those_of_loops(truth: Truth) -> None:
    generator = torch.Generator().manual_seed(2)
    joints = truth.joints + 0.05 * torch.randn(truth.joints.shape, generator=generator)
    true_up = read_features(truth.features).up
    up = torch.nn.functional.normalize(
        true_up + 0.2 * torch.randn(true_up.shape, generator=generator), dim=-1
    )
    step = torch.tensor([1 / 30, 1 / 25, 1 / 30])
    error = compare(joints, up, truth, step)
    made, wanted = joints.double().numpy(), truth.joints.double().numpy()
    distances, aligned, bends, third, true_third, angles = [], [], [], [], [], []
    for row in range(3):
        for frame in range(FRAMES):
            if not truth.valid[row, frame]:
                continue
            distances.append(np.linalg.norm(made[row, frame] - wanted[row, frame], axis=-1).mean())
            best = naive_align(made[row, frame], wanted[row, frame])
            aligned.append(np.linalg.norm(best - wanted[row, frame], axis=-1).mean())
            cosine = float(up[row, frame] @ true_up[row, frame])
            angles.append(np.degrees(np.arccos(min(1.0, cosine))))
            if frame >= 2:
                bend = [
                    one[row, frame] - 2 * one[row, frame - 1] + one[row, frame - 2] for one in (made, wanted)
                ]
                bends.append(np.linalg.norm(bend[0] - bend[1], axis=-1).mean() / float(step[row]) ** 2)
            if frame >= 3:
                for one, kept in ((made, third), (wanted, true_third)):
                    x = one[row]
                    jerk = x[frame] - 3 * x[frame - 1] + 3 * x[frame - 2] - x[frame - 3]
                    kept.append(np.linalg.norm(jerk, axis=-1).mean())
    assert error.mpjpe_mm == pytest.approx(1e3 * np.mean(distances), rel=1e-4)
    assert error.pa_mpjpe_mm == pytest.approx(1e3 * np.mean(aligned), rel=1e-3)
    assert error.pa_mpjpe_mm < error.mpjpe_mm
    assert error.accel == pytest.approx(np.mean(bends), rel=1e-3)
    assert error.jitter == pytest.approx(np.mean(third) / np.mean(true_third), rel=1e-3)
    assert error.up_degrees == pytest.approx(np.mean(angles), abs=0.05)


def test_known_cases(truth: Truth) -> None:
    up, step = read_features(truth.features).up, torch.full((3,), 1 / 30)
    error = compare(truth.joints + torch.tensor([0.03, 0.0, 0.04]), up, truth, step)
    assert error.mpjpe_mm == pytest.approx(50, rel=1e-4)  # moved
    assert error.pa_mpjpe_mm < 0.01
    assert error.accel < 0.1
    error = compare(1.1 * truth.joints, up, truth, step)
    assert error.pa_mpjpe_mm < 0.01  # larger
    assert error.jitter == pytest.approx(1.1, rel=1e-4)
    assert compare(truth.joints, -up, truth, step).up_degrees == pytest.approx(180, abs=0.1)


def test_three_estimates_on_the_same_windows(body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = tiny_decoder(body)
    evidence, motion = people(body, 5, WINDOW, seed=3)
    errors = motion_errors(decoder, evidence, motion, body)
    assert list(errors) == ["vae", "diffusion", "regressor"]
    truth, features = truth_of(motion, evidence, body), evidence_features(evidence)

    def compared(motion: torch.Tensor, betas: torch.Tensor) -> float:
        joints = truth_of_features(motion, betas, body)
        return 1e3 * float((joints - truth.joints).norm(dim=-1).mean())

    rebuilt = decoder.vae.decode(decoder.vae.encode(truth.features))
    assert errors["vae"].mpjpe_mm == pytest.approx(compared(rebuilt, truth.betas), rel=1e-3)
    made, read = decoder.regress(features)
    assert errors["regressor"].mpjpe_mm == pytest.approx(compared(made, read.betas), rel=1e-3)
    made, read = decoder.diffuse(features, decoder.noise(5, 0))
    assert errors["diffusion"].mpjpe_mm == pytest.approx(compared(made, read.betas), rel=1e-3)
    monkeypatch.setattr(motion_validation, "_CHUNK", 2)
    parts = motion_errors(decoder, evidence, motion, body)
    for name in ("vae", "regressor"):  # the noise of diffusion belongs to the chunk
        assert parts[name].mpjpe_mm == pytest.approx(errors[name].mpjpe_mm, rel=1e-3)


def truth_of_features(features: torch.Tensor, betas: torch.Tensor, body: BodyModel) -> torch.Tensor:
    from fasthmr.decoder.segments import joints_of_segments

    return joints_of_segments(read_features(features).segments, body.rest_joints(betas)[:, None])
