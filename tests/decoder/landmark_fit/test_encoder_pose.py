# SPDX-License-Identifier: Apache-2.0
"""An encoder's rotations help the fit where landmarks say little, and do no harm where they are wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from fasthmr.body.skeleton import INDEX
from fasthmr.decoder.landmark_fit import FitSettings, fit_landmarks
from fasthmr.decoder.landmark_fit.encoder_pose import encoder_shape, start_from_encoder
from fasthmr.decoder.landmark_fit.objective import Objective
from fasthmr.evidence import BodyEstimate, Evidence
from tests.decoder.landmark_fit.synthetic import BODY, acting, evidence_of, hide, turned_by_chance, walk

BETAS = torch.tensor([0.8, -0.6, 0.4] + 7 * [0.0])
QUICK = FitSettings(shape_steps=60, motion_steps=80, shape_frames=30)
FRAMES = 45
TRUE_ROTATIONS, PELVIS = acting(FRAMES)
LEFT_ARM = ("left_elbow", "left_wrist", "left_index", "left_pinky")


@pytest.fixture(scope="module")
def scene() -> tuple[Evidence, np.ndarray]:
    """Noisy landmarks; wrong in depth, the left arm hidden."""
    evidence, truth = evidence_of(TRUE_ROTATIONS, PELVIS, BETAS, pixel_noise=4, world_noise=0.03)
    world = evidence.landmarks_world.copy()
    world[..., 2] += np.random.default_rng(5).normal(0, 0.08, 33)
    return hide(replace(evidence, landmarks_world=world), LEFT_ARM), truth


@pytest.fixture(scope="module")
def alone(scene: tuple[Evidence, np.ndarray]) -> BodyEstimate:
    return fit_landmarks(scene[0], BODY, settings=QUICK)


def encoded(evidence: Evidence, rotations: torch.Tensor, belief: float) -> Evidence:
    confidence = np.full((len(rotations), 24), belief, np.float32)
    return replace(evidence, rotations=rotations.numpy(), joint_confidence=confidence)


def degrees_off(rotations: np.ndarray, *joints: str) -> float:
    """Mean angle to the true rotations, of some joints or of all."""
    angles = roma.rotmat_geodesic_distance(torch.from_numpy(rotations), TRUE_ROTATIONS).rad2deg()
    return float(angles[:, [INDEX[joint] for joint in joints] or slice(None)].mean())


def millimetres_off(estimate: BodyEstimate, truth: np.ndarray, *joints: str) -> float:
    """Mean distance from the true joints, pelvises put together."""
    error = (estimate.joints - estimate.joints[:, :1]) - (truth - truth[:, :1])
    chosen = [INDEX[joint] for joint in joints] or slice(None)
    return 1e3 * float(np.linalg.norm(error[:, chosen], axis=-1).mean())


def test_an_encoder_helps_where_landmarks_say_little(
    scene: tuple[Evidence, np.ndarray], alone: BodyEstimate
) -> None:
    evidence, truth = scene
    seen = turned_by_chance(TRUE_ROTATIONS, 10, seed=7)
    both = fit_landmarks(encoded(evidence, seen, 0.85), BODY, settings=QUICK)
    assert millimetres_off(both, truth) < 0.7 * millimetres_off(alone, truth)
    hidden = ("left_elbow", "left_wrist", "left_hand")
    assert millimetres_off(both, truth, *hidden) < 0.5 * millimetres_off(alone, truth, *hidden)
    for twisted in (("left_hip", "right_hip"), ("left_elbow", "right_elbow"), ("left_wrist", "right_wrist")):
        assert degrees_off(both.rotations, *twisted) < 0.5 * degrees_off(alone.rotations, *twisted)
    assert degrees_off(both.rotations) < 0.8 * degrees_off(seen.numpy())  # better than either of the two
    assert degrees_off(both.rotations) < 0.8 * degrees_off(alone.rotations)


def test_an_encoder_that_is_not_believed_changes_nothing_at_all(
    scene: tuple[Evidence, np.ndarray], alone: BodyEstimate
) -> None:
    garbage = turned_by_chance(TRUE_ROTATIONS, 120, seed=9)
    same = fit_landmarks(encoded(scene[0], garbage, 0.0), BODY, settings=QUICK)
    for name in ("rotations", "betas", "translation", "joints", "confidence"):
        np.testing.assert_array_equal(getattr(same, name), getattr(alone, name))


def test_garbage_that_is_hardly_believed_does_little_harm(
    scene: tuple[Evidence, np.ndarray], alone: BodyEstimate
) -> None:
    evidence, truth = scene
    garbage = turned_by_chance(TRUE_ROTATIONS, 120, seed=9)
    misled = fit_landmarks(encoded(evidence, garbage, 0.1), BODY, settings=QUICK)
    assert millimetres_off(misled, truth) < millimetres_off(alone, truth) + 5


def test_evidence_without_an_encoder_meets_the_same_energy_as_ever() -> None:
    from fasthmr.decoder.landmark_fit.fit import _first_guess, _targets
    from fasthmr.decoder.landmark_fit.limits import joint_limits
    from tests.decoder.landmark_fit.synthetic import MARKS

    evidence, _ = evidence_of(*walk(6), torch.zeros(10), world_noise=0.02)
    targets = _targets(evidence, MARKS)
    start = _first_guess(evidence, targets, BODY, MARKS)
    objective = Objective(BODY, MARKS, joint_limits())
    terms = objective.terms(start, targets)
    ever = {"image", "world", "limits", "spread", "shape", "offsets", "joints in time", "pelvis in time"}
    assert set(terms) == ever | {"standing feet", "turns in time"}
    spread = (start.turns / joint_limits().deviation).square().sum()
    assert torch.equal(terms["spread"], spread)
    assert torch.equal(terms["shape"], start.betas.square().sum())

    told = _targets(encoded(evidence, torch.eye(3).expand(6, 24, 3, 3), 0.5), MARKS)
    assert set(objective.terms(start, told)) == set(terms) | {"rotations"}


def test_the_energy_of_a_rotation_is_its_angle_over_the_deviation() -> None:
    from fasthmr.decoder.landmark_fit.fit import _first_guess, _targets
    from fasthmr.decoder.landmark_fit.limits import joint_limits
    from tests.decoder.landmark_fit.synthetic import MARKS

    rotations, pelvis = walk(1)
    evidence, _ = evidence_of(rotations, pelvis, torch.zeros(10))
    objective = Objective(BODY, MARKS, joint_limits())
    start = _first_guess(evidence, _targets(evidence, MARKS), BODY, MARKS)
    off = start.rotations()
    off[:, INDEX["left_wrist"]] @= roma.rotvec_to_rotmat(torch.tensor([0.02, 0.0, 0.0]))
    confidence = np.zeros((1, 24), np.float32)
    confidence[:, INDEX["left_wrist"]] = 0.5
    told = _targets(replace(evidence, rotations=off.numpy(), joint_confidence=confidence), MARKS)
    energy = float(objective.terms(start, told)["rotations"])
    assert energy == pytest.approx(0.5 * (0.02 / objective.deviations.rotation) ** 2, rel=0.02)


def test_the_start_takes_the_encoders_limbs_where_it_is_believed() -> None:
    evidence, _ = evidence_of(TRUE_ROTATIONS, PELVIS, BETAS)
    first = turned_by_chance(TRUE_ROTATIONS, 40, seed=1)
    assert start_from_encoder(first, evidence) is first
    sure = start_from_encoder(first, encoded(evidence, TRUE_ROTATIONS, 0.9))
    assert degrees_off(sure.numpy()) < 3  # not 0: the start is smoothed
    half = encoded(evidence, TRUE_ROTATIONS, 0.35)
    assert (
        0.3
        < degrees_off(start_from_encoder(first, half).numpy()[:, :1], "pelvis")
        / degrees_off(first.numpy()[:, :1], "pelvis")
        < 0.7
    )


def test_the_shape_is_drawn_to_the_encoders() -> None:
    true = torch.tensor([2.0, 1.5] + 8 * [0.0])
    evidence, _ = evidence_of(TRUE_ROTATIONS, PELVIS, true, pixel_noise=4, world_noise=0.03)
    betas = true.numpy() + np.random.default_rng(2).normal(0, 0.3, (FRAMES, 10)).astype(np.float32)
    betas[: FRAMES // 4] = 40  # frames that nobody believes
    told = encoded(evidence, TRUE_ROTATIONS, 0.8)
    assert told.joint_confidence is not None
    told.joint_confidence[: FRAMES // 4] = 0
    without = fit_landmarks(told, BODY, settings=QUICK)
    told = replace(told, betas=betas)
    shape = encoder_shape(told)
    assert shape is not None
    torch.testing.assert_close(shape, true, atol=0.3, rtol=0)
    with_shape = fit_landmarks(told, BODY, settings=QUICK)
    error = [np.abs(estimate.betas[:2] - true[:2].numpy()).mean() for estimate in (with_shape, without)]
    assert error[0] < 0.6 * error[1]


def test_rotations_need_a_belief() -> None:
    evidence, _ = evidence_of(*walk(3), torch.zeros(10))
    bare = replace(evidence, rotations=np.tile(np.eye(3, dtype=np.float32), (3, 24, 1, 1)))
    with pytest.raises(ValueError, match="joint_confidence"):
        fit_landmarks(bare, BODY, settings=QUICK)
