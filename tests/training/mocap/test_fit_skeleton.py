# SPDX-License-Identifier: Apache-2.0
"""Poses come back from the joints of another skeleton."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.body.skeleton import INDEX, PARENTS
from fasthmr.errors import BadInput
from fasthmr.training.mocap.calibrate import Calibration, calibrate
from fasthmr.training.mocap.fit_skeleton import fit_skeleton
from fasthmr.training.mocap.joint_maps import SKELETONS, Anchor, joint_map, skeleton_names, stick_edges
from fasthmr.training.mocap.pose_solver import (
    Points,
    Priors,
    _inverse_right_jacobian,
    _System,
    place_points,
)

from .synthetic_motion import TrueMotion, naive_places, true_motion

NAMINGS = [name for name in SKELETONS if name != "smpl"]


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


def anchors_of(skeleton: str) -> tuple[Anchor, ...]:
    return joint_map(skeleton, skeleton_names(skeleton))


def angles(ours: np.ndarray, theirs: torch.Tensor) -> np.ndarray:
    """(T, 24) degrees between rotations."""
    return np.rad2deg(roma.rotmat_to_rotvec(torch.from_numpy(ours).mT @ theirs).norm(dim=-1).numpy())


@pytest.mark.parametrize("skeleton", NAMINGS)
def test_maps_are_the_same_on_both_sides(skeleton: str) -> None:
    anchors = anchors_of(skeleton)
    rows = {(a.carrier, a.place, a.shift) for a in anchors}
    for carrier, place, (x, y, z) in rows:
        other = [
            name.replace("left_", "R").replace("right_", "left_").replace("R", "right_")
            for name in (carrier, place)
        ]
        assert (other[0], other[1], (-x if x else x, y, z)) in {
            (c, p, tuple(v if v else 0.0 for v in s)) for c, p, s in rows
        }, carrier
    assert len({a.sources for a in anchors}) == len(anchors)


def test_a_skeleton_without_knees_is_refused() -> None:
    names = [name for name in skeleton_names("cmu_asf") if name not in ("lfemur",)]
    with pytest.raises(BadInput, match="left_knee"):
        joint_map("cmu_asf", names)
    with pytest.raises(BadInput, match="not known"):
        joint_map("fish", names)


def test_sticks_join_limbs() -> None:
    anchors = anchors_of("cmu_asf")
    named = {(anchors[a].sources[0], anchors[b].sources[0]) for a, b in stick_edges(anchors)}
    assert {
        ("lhipjoint", "lfemur"),
        ("rfemur", "rtibia"),
        ("lhumerus", "lwrist"),
        ("rtibia", "rfoot"),
    } <= named


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


@pytest.fixture(scope="module")
def cmu_clips(body: BodyModel) -> list[TrueMotion]:
    return [true_motion(body, anchors_of("cmu_asf"), 240, seed) for seed in range(3)]


def test_poses_come_back_from_a_known_skeleton(body: BodyModel, cmu_clips: list[TrueMotion]) -> None:
    truth = cmu_clips[0]
    known = Calibration(anchors_of("cmu_asf"), truth.betas.numpy(), truth.points.offsets.numpy())
    fit = fit_skeleton(truth.seen, known, body)
    assert np.median(fit.errors) < 0.004
    off = np.median(angles(fit.rotations, truth.rotations), axis=0)
    for name in ("pelvis", "left_hip", "right_hip", "left_knee", "right_knee"):
        assert off[INDEX[name]] < 5, name
    assert off.max() < 16
    np.testing.assert_allclose(fit.pelvis, truth.pelvis.numpy(), atol=0.02)


def test_an_unknown_skeleton_is_calibrated(body: BodyModel, cmu_clips: list[TrueMotion]) -> None:
    found = calibrate(anchors_of("cmu_asf"), [clip.seen for clip in cmu_clips], body)
    assert found.betas[0] == pytest.approx(0.7, abs=0.3)
    fit = fit_skeleton(cmu_clips[1].seen, found, body)
    assert np.median(fit.errors) < 0.006
    assert np.median(angles(fit.rotations, cmu_clips[1].rotations)[:, INDEX["left_knee"]]) < 5


def test_twist_of_a_straight_arm_stays_near_rest(body: BodyModel) -> None:
    """Nothing but the wrist shows how the arm turns: it must not spin."""
    anchors = tuple(a for a in anchors_of("deepmimic") if "hand" not in a.place)
    still = true_motion(body, anchors, 30, 3, shift=0.0)
    rotations = torch.eye(3).repeat(30, 24, 1, 1)
    rotations[:, 0] = still.rotations[:, 0]
    rest = body.rest_joints(still.betas)
    seen, _, _ = place_points(rest, still.points, rotations, still.pelvis)
    known = Calibration(anchors, still.betas.numpy(), still.points.offsets.numpy())
    noise = 0.002 * np.random.default_rng(0).normal(size=seen.shape).astype(np.float32)
    fit = fit_skeleton(seen.numpy() + noise, known, body)
    assert angles(fit.rotations, rotations)[:, 1:].max() < 12


def test_a_mirrored_clip_gives_mirrored_poses(body: BodyModel) -> None:
    anchors = anchors_of("cmu_asf")
    truth = true_motion(body, anchors, 60, 5, shift=0.0)
    known = Calibration(anchors, truth.betas.numpy(), truth.points.offsets.numpy())
    plain = fit_skeleton(truth.seen, known, body)
    twin = [
        next(
            j
            for j, b in enumerate(anchors)
            if b.carrier == swapped(a.carrier)
            and b.place == swapped(a.place)
            and abs(b.shift[0] + a.shift[0]) < 1e-9
            and b.shift[1:] == a.shift[1:]
        )
        for a in anchors
    ]
    mirror = np.diag([-1.0, 1.0, 1.0]).astype(np.float32)
    other = fit_skeleton(truth.seen[:, twin] @ mirror, known, body)
    for joint in range(1, 22):
        name = list(INDEX)[joint]
        partner = INDEX[swapped(name)]
        flipped = mirror @ other.rotations[:, partner] @ mirror
        assert np.median(angles(flipped, torch.from_numpy(plain.rotations[:, joint]))) < 1.0, name


def swapped(name: str) -> str:
    if name.startswith("left_"):
        return "right_" + name[5:]
    return "left_" + name[6:] if name.startswith("right_") else name


def test_bad_numbers_are_refused(body: BodyModel, cmu_clips: list[TrueMotion]) -> None:
    truth = cmu_clips[0]
    known = Calibration(anchors_of("cmu_asf"), truth.betas.numpy(), truth.points.offsets.numpy())
    broken = truth.seen.copy()
    broken[3, 2] = np.nan
    with pytest.raises(ValueError, match="finite"):
        fit_skeleton(broken, known, body)
    with pytest.raises(ValueError, match="calibration"):
        fit_skeleton(truth.seen[:, :5], known, body)


def test_points_know_their_carriers() -> None:
    points = Points(torch.tensor([20]), torch.zeros(1, 3), torch.ones(1))
    system = _System(torch.zeros(24, 3), points, Priors.usual())
    chain, joint = [], 20
    while joint >= 0:
        chain.append(joint)
        joint = PARENTS[joint]
    assert system.pair_joints.tolist() == chain
