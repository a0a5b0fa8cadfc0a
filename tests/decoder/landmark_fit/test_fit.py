# SPDX-License-Identifier: Apache-2.0
"""The fit finds bodies whose truth is known, and stays calm where the evidence does not."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from fasthmr.body.projection import project
from fasthmr.decoder.landmark_fit import FitSettings, fit_landmarks
from fasthmr.errors import Cancelled
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.progress import Progress
from tests.decoder.landmark_fit.synthetic import BODY, INTRINSICS, evidence_of, walk

BETAS = torch.tensor([0.8, -0.6, 0.4] + 7 * [0.0])
QUICK = FitSettings(shape_steps=80, motion_steps=100, shape_frames=40)


def about_pelvis(joints: np.ndarray) -> np.ndarray:
    return joints - joints[:, :1]


def mpjpe_mm(estimate: BodyEstimate, truth: np.ndarray) -> float:
    """Mean distance of the joints after the pelvises are put together."""
    return 1e3 * float(np.linalg.norm(about_pelvis(estimate.joints) - about_pelvis(truth), axis=-1).mean())


@pytest.fixture(scope="module")
def walking() -> tuple[Evidence, np.ndarray]:
    return evidence_of(*walk(60), BETAS)


@pytest.fixture(scope="module")
def walked(walking: tuple[Evidence, np.ndarray]) -> BodyEstimate:
    return fit_landmarks(walking[0], BODY, settings=QUICK)


def test_perfect_landmarks_give_the_body_back(
    walking: tuple[Evidence, np.ndarray], walked: BodyEstimate
) -> None:
    _, truth = walking
    assert mpjpe_mm(walked, truth) < 20
    seen = project(torch.from_numpy(walked.joints), torch.tensor(INTRINSICS, dtype=torch.float32))
    want = project(torch.from_numpy(truth), torch.tensor(INTRINSICS, dtype=torch.float32))
    assert (seen - want).norm(dim=-1).mean() < 6
    assert np.abs(walked.translation[:, 2] - truth[:, 0, 2]).max() < 0.35


def test_the_joints_are_those_of_the_rotations(walked: BodyEstimate) -> None:
    joints, _ = BODY.joints(
        torch.from_numpy(walked.rotations),
        torch.from_numpy(walked.betas),
        torch.from_numpy(walked.translation),
    )
    np.testing.assert_allclose(walked.joints, joints.numpy(), atol=1e-4)
    identity = walked.rotations @ walked.rotations.transpose(0, 1, 3, 2)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5)


def test_noise_is_smoothed(walking: tuple[Evidence, np.ndarray]) -> None:
    noisy, truth = evidence_of(*walk(60), BETAS, pixel_noise=5, world_noise=0.04)
    estimate = fit_landmarks(noisy, BODY, settings=QUICK)
    assert mpjpe_mm(estimate, truth) < 40

    def jitter(joints: np.ndarray) -> float:
        return float(np.linalg.norm(np.diff(joints, n=3, axis=0), axis=-1).mean()) * 30**3

    raw = noisy.landmarks_world[:, [11, 12, 13, 14, 23, 24, 25, 26, 27, 28]]
    assert jitter(estimate.joints) < 0.1 * jitter(raw)


def test_a_gap_is_bridged_without_confidence(walking: tuple[Evidence, np.ndarray]) -> None:
    evidence, truth = walking
    gap = slice(25, 33)
    visibility = evidence.visibility.copy()
    visibility[gap] = 0
    image, world = evidence.landmarks_image.copy(), evidence.landmarks_world.copy()
    for array in (image, world):  # as Evidence.from_track fills gaps: straight from the last to the next
        share = np.linspace(0, 1, 10)[1:-1, None, None]
        array[gap] = array[24] * (1 - share) + array[33] * share
    estimate = fit_landmarks(
        replace(evidence, visibility=visibility, landmarks_image=image, landmarks_world=world),
        BODY,
        settings=QUICK,
    )
    assert (estimate.confidence[gap] == 0).all()
    assert estimate.confidence[:20].mean() > 0.8
    step = np.linalg.norm(np.diff(estimate.joints, axis=0), axis=-1)
    assert step.max() < 0.2
    assert np.linalg.norm(estimate.joints[gap] - truth[gap], axis=-1).mean() < 0.35


def test_windows_join_without_a_seam(walking: tuple[Evidence, np.ndarray]) -> None:
    evidence, truth = walking
    settings = replace(QUICK, window=30, overlap=10)
    estimate = fit_landmarks(evidence, BODY, settings=settings)
    assert mpjpe_mm(estimate, truth) < 25
    step = np.linalg.norm(np.diff(about_pelvis(estimate.joints), axis=0), axis=-1)
    assert step.max() < 1.6 * np.linalg.norm(np.diff(about_pelvis(truth), axis=0), axis=-1).max()


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_very_short_tracks(frames: int) -> None:
    evidence, truth = evidence_of(*walk(frames), torch.zeros(10))
    estimate = fit_landmarks(evidence, BODY, settings=QUICK)
    assert estimate.joints.shape == (frames, 24, 3)
    assert mpjpe_mm(estimate, truth) < 60


def test_absurd_landmarks_do_not_explode() -> None:
    evidence, _ = evidence_of(*walk(30), torch.zeros(10))
    rng = np.random.default_rng(0)
    wild = replace(
        evidence,
        landmarks_image=rng.uniform(-500, 2000, evidence.landmarks_image.shape).astype(np.float32),
        landmarks_world=rng.normal(0, 1, evidence.landmarks_world.shape).astype(np.float32),
    )
    estimate = fit_landmarks(wild, BODY, settings=QUICK)
    assert np.isfinite(estimate.joints).all()
    assert np.linalg.norm(about_pelvis(estimate.joints), axis=-1).max() < 1.6
    assert estimate.confidence.mean() < 0.3


def test_nothing_seen_at_all_still_gives_a_body() -> None:
    evidence, _ = evidence_of(*walk(5), torch.zeros(10))
    estimate = fit_landmarks(
        replace(evidence, visibility=np.zeros_like(evidence.visibility)), BODY, settings=QUICK
    )
    assert np.isfinite(estimate.joints).all()
    assert (estimate.confidence == 0).all()


def test_progress_counts_up_and_can_cancel(walking: tuple[Evidence, np.ndarray]) -> None:
    class Recording(Progress):
        seen: list[tuple[str, int, int | None]]

        def show(self, stage: str, done: int, total: int | None) -> None:
            self.seen.append((stage, done, total))
            if done == 20:
                self.cancelled.set()

    progress = Recording(threading.Event())
    progress.seen = []
    with pytest.raises(Cancelled):
        fit_landmarks(walking[0], BODY, progress, settings=QUICK)
    assert [done for _, done, _ in progress.seen] == list(range(1, 21))
    assert {(stage, total) for stage, _, total in progress.seen} == {("fit", 180)}
