# SPDX-License-Identifier: Apache-2.0
"""The solver of poses: its derivatives, its minimum, and frames that do not depend on their batch."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.body.skeleton import PARENTS
from fasthmr.training.mocap import pose_solver
from fasthmr.training.mocap.pose_solver import (
    Points,
    Priors,
    _inverse_right_jacobian,
    _System,
    place_points,
    solve_poses,
)

from .synthetic_motion import anchors_of, naive_places, true_motion


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


def test_points_as_joint_by_joint(body: BodyModel) -> None:
    truth = true_motion(body, anchors_of("cmu_asf"), 4, 1)
    rest = body.rest_joints(truth.betas)
    places, _, _ = place_points(rest, truth.points, truth.rotations, truth.pelvis)
    for frame in range(4):
        naive = naive_places(rest, truth.points, truth.rotations[frame], truth.pelvis[frame])
        torch.testing.assert_close(places[frame], naive, atol=1e-5, rtol=0)


def test_derivative_of_the_axis_angle() -> None:
    vectors = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 3))).double()
    vectors[0], vectors[1] = 1e-9, torch.tensor([0.0, 3.0, 0.0])
    step = 1e-6 * torch.eye(3, dtype=torch.double)
    turned = roma.rotvec_to_rotmat(vectors)[:, None] @ roma.rotvec_to_rotmat(step)
    numeric = ((roma.rotmat_to_rotvec(turned) - vectors[:, None]) / 1e-6).mT
    ours = _inverse_right_jacobian(vectors.float()).double()
    torch.testing.assert_close(ours, numeric, atol=2e-3, rtol=1e-3)


def test_a_round_goes_downhill_to_the_minimum(body: BodyModel) -> None:
    """The fixed point of the rounds is a minimum of the cost that the solver claims to have."""
    anchors = anchors_of("acrnn_bvh")
    truth = true_motion(body, anchors, 6, 2)
    rest = body.rest_joints(truth.betas)
    priors = Priors.usual()
    system = _System(rest, truth.points, priors)
    rotations, pelvis = truth.rotations.clone(), truth.pelvis.clone()
    targets = (
        torch.from_numpy(truth.seen)
        + 0.01 * torch.from_numpy(np.random.default_rng(1).normal(size=truth.seen.shape)).float()
    )

    def cost(turn: torch.Tensor, move: torch.Tensor) -> torch.Tensor:
        turned = rotations @ roma.rotvec_to_rotmat(turn)
        places, _, _ = place_points(rest, truth.points, turned, pelvis + move)
        seen = ((places - targets) * truth.points.weights[:, None]).square().sum()
        vectors = roma.rotmat_to_rotvec(turned[:, 1:22])
        low, high = priors.limits.low[:21], priors.limits.high[:21]
        over = (vectors - high).clamp_min(0) + (low - vectors).clamp_min(0)
        rest_pull = (vectors / (priors.spread * priors.limits.deviation[:21])).square().sum()
        return 0.5 * (seen + rest_pull + (over / priors.beyond).square().sum())

    def slope() -> float:
        turn = torch.zeros(6, 24, 3, requires_grad=True)
        move = torch.zeros(6, 3, requires_grad=True)
        cost(turn, move).backward()
        assert turn.grad is not None
        assert move.grad is not None
        return float(torch.cat([turn.grad[:, :22].flatten(), move.grad.flatten()]).abs().max())

    before = slope()
    for _ in range(60):
        with torch.no_grad():
            rotations, pelvis = system.step(targets, rotations, pelvis, None)
    assert slope() < 0.01 * before


def test_points_know_their_carriers() -> None:
    points = Points(torch.tensor([20]), torch.zeros(1, 3), torch.ones(1))
    system = _System(torch.zeros(24, 3), points, Priors.usual())
    chain, joint = [], 20
    while joint >= 0:
        chain.append(joint)
        joint = PARENTS[joint]
    assert system.pair_joints.tolist() == chain


def start(body: BodyModel, count: int) -> tuple[torch.Tensor, ...]:
    """Rest joints, targets and poses some degrees from those that were there."""
    truth = true_motion(body, anchors_of("cmu_asf"), count, 4)
    turn = 0.1 * torch.from_numpy(np.random.default_rng(2).normal(size=(count, 24, 3))).float()
    near = truth.rotations @ roma.rotvec_to_rotmat(turn)
    return body.rest_joints(truth.betas), torch.from_numpy(truth.seen), near, truth.pelvis


def test_frames_do_not_depend_on_their_batch(body: BodyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rest, seen, rotations, pelvis = start(body, 11)
    points, priors = true_motion(body, anchors_of("cmu_asf"), 1, 4).points, Priors.usual()
    whole = solve_poses(rest, points, seen, rotations, pelvis, priors, 3)
    monkeypatch.setattr(pose_solver, "_CHUNK", 4)
    parts = solve_poses(rest, points, seen, rotations, pelvis, priors, 3)
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a, b, atol=2e-4, rtol=0)
    alone = solve_poses(rest, points, seen[5:6], rotations[5:6], pelvis[5:6], priors, 3, connected=False)
    loose = solve_poses(rest, points, seen, rotations, pelvis, priors, 3, connected=False)
    for a, b in zip(loose, alone, strict=True):
        torch.testing.assert_close(a[5:6], b, atol=2e-4, rtol=0)


def test_points_come_nearer_and_what_was_given_stays(body: BodyModel) -> None:
    rest, seen, rotations, pelvis = start(body, 6)
    points = true_motion(body, anchors_of("cmu_asf"), 1, 4).points
    given = rotations.clone()
    before = (place_points(rest, points, rotations, pelvis)[0] - seen).norm(dim=-1).mean()
    turned, moved = solve_poses(rest, points, seen, rotations, pelvis, Priors.usual(), 8)
    after = (place_points(rest, points, turned, moved)[0] - seen).norm(dim=-1).mean()
    assert after < 0.1 * before
    assert torch.equal(rotations, given)
    torch.testing.assert_close(turned @ turned.mT, torch.eye(3).expand_as(turned), atol=1e-5, rtol=0)


def test_neighbours_smooth_what_no_point_shows(body: BodyModel) -> None:
    rest, seen, rotations, pelvis = start(body, 40)
    points, priors = true_motion(body, anchors_of("cmu_asf"), 1, 4).points, Priors.usual()
    noise = 0.01 * torch.from_numpy(np.random.default_rng(0).normal(size=seen.shape)).float()

    def shaking(connected: bool) -> float:
        turned, _ = solve_poses(rest, points, seen + noise, rotations, pelvis, priors, 8, connected)
        steps = roma.rotmat_to_rotvec(turned[:-1, 1:22].mT @ turned[1:, 1:22])
        return float((steps[1:] - steps[:-1]).norm(dim=-1).mean())

    assert shaking(True) < 0.8 * shaking(False)


def test_halfway_between_neighbours() -> None:
    angles = torch.tensor([0.0, 0.9, 0.4, 0.7, 1.0])
    vectors = torch.zeros(5, 24, 3)
    vectors[..., 1] = angles[:, None]
    between = roma.rotmat_to_rotvec(pose_solver._between_neighbours(roma.rotvec_to_rotmat(vectors)))
    wanted = torch.tensor([0.0, 0.2, 0.8, 0.7, 1.0])
    torch.testing.assert_close(between[..., 1], wanted[:, None].expand(5, 24), atol=1e-5, rtol=0)
