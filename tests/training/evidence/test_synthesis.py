# SPDX-License-Identifier: Apache-2.0
"""Evidence of captured motion: what a detector without errors says, and what errors do to it."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from fasthmr.decoder.evidence_features import evidence_features
from fasthmr.decoder.view_frame import box_rays, camera_from_view
from fasthmr.people.landmarks import LANDMARK_MIRROR
from fasthmr.training.evidence import synthesis as module
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from fasthmr.training.evidence.errors import exact, usual
from fasthmr.training.evidence.synthesis import EvidenceSynthesis, boxes_around, motion_in_camera
from fasthmr.training.mocap.packed import MocapSet
from tests.training.evidence.seen_motion import before_cameras
from tests.training.tiny_mocap import tiny_mocap


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def mocap(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> MocapSet:
    return tiny_mocap(body, tmp_path_factory.mktemp("mocap") / "set")


def true_landmarks(motion: MotionBatch, body: BodyModel) -> torch.Tensor:
    """Landmarks in the camera of motion there."""
    count, frames = motion.pelvis.shape[:2]
    joints, turns = body.joints(motion.rotations.flatten(0, 1), motion.betas.repeat_interleave(frames, 0))
    joints = (joints - joints[:, :1]).unflatten(0, (count, frames)) + motion.pelvis[:, :, None]
    return BodyLandmarks(body).place(joints, turns.unflatten(0, (count, frames)), motion.betas)


def pixels_of(points: torch.Tensor, evidence: EvidenceBatch) -> torch.Tensor:
    image = (evidence.intrinsics[:, None, None] @ points[..., None])[..., 0]
    return image[..., :2] / image[..., 2:]


def test_a_detector_without_errors_sees_the_body(body: BodyModel, mocap: MocapSet) -> None:
    made = EvidenceSynthesis(mocap, body, exact(), window=24, gaps=False, encoder=0)
    world, cameras = before_cameras(body, mocap.folder, 40)
    evidence, motion = made.seen(world, cameras)
    points = true_landmarks(motion, body)
    near = points[..., 2] > 0.3
    pixels = pixels_of(points, evidence)
    assert (pixels - evidence.landmarks_image).norm(dim=-1)[near].max() < 0.2
    inside = near & ((pixels >= 0) & (pixels < cameras.image_size[:, None, None])).all(-1)
    view = camera_from_view(
        box_rays(boxes_around(pixels, inside, cameras.image_size), evidence.intrinsics)[0]
    )
    about = points - points[:, :, [23, 24]].mean(2, keepdim=True)
    wanted = (view.mT[:, :, None] @ about[..., None])[..., 0]
    assert torch.allclose(evidence.landmarks_world, wanted, atol=1e-3)
    assert torch.equal(evidence.visibility.amax(-1) > 0, motion.valid)
    assert evidence.joint_confidence is not None
    assert (evidence.joint_confidence == 0).all()
    assert torch.allclose(motion.up.norm(dim=-1), torch.ones(40, 24), atol=1e-4)
    assert (motion.up[..., 1] < 0).all()


def test_truth_in_the_camera_is_the_motion_in_the_world(body: BodyModel, tmp_path: Path) -> None:
    motion, cameras = before_cameras(body, tmp_path / "set", 5)
    truth = motion_in_camera(motion, cameras)
    joints, _ = body.joints(truth.rotations.flatten(0, 1), truth.betas.repeat_interleave(24, 0))
    joints = (joints - joints[:, :1]).unflatten(0, (5, 24)) + truth.pelvis[:, :, None]
    assert torch.allclose(joints, cameras.points(motion.joints), atol=1e-4)
    assert torch.allclose(truth.up, cameras.camera_from_world[..., 2])


@pytest.mark.parametrize("gaps", [False, True])
def test_errors_are_finite_and_gaps_are_empty(body: BodyModel, mocap: MocapSet, gaps: bool) -> None:
    evidence, motion = EvidenceSynthesis(mocap, body, usual(), window=32, gaps=gaps).batch(100)
    for batch in (evidence, motion):
        for field in fields(batch):
            assert getattr(batch, field.name).isfinite().all(), field.name
    assert evidence.visibility.min() >= 0
    assert evidence.visibility.max() <= 1
    seen = evidence.visibility.amax(-1) > 0
    lost = float((motion.valid & ~seen).float().mean())
    assert (0.05 < lost < 0.35) if gaps else lost < 0.03
    assert not (seen & ~motion.valid).any()
    features = evidence_features(evidence)
    assert (features[~seen][:, 3:] == 0).all()
    assert features.isfinite().all()
    assert (evidence.boxes[..., 2:] - evidence.boxes[..., :2]).median() > 30


def test_encoder_speaks_in_its_share_of_the_windows(body: BodyModel, mocap: MocapSet) -> None:
    evidence, motion = EvidenceSynthesis(mocap, body, exact(), window=16, gaps=False, encoder=0.3).batch(300)
    assert evidence.joint_confidence is not None
    assert evidence.rotations is not None
    speaks = evidence.joint_confidence.amax((1, 2)) > 0
    assert 0.2 < speaks.float().mean() < 0.4
    turned = evidence.rotations.mT @ motion.rotations
    angle = ((turned.diagonal(dim1=-1, dim2=-2).sum(-1) - 1) / 2).clamp(-1, 1).acos()
    told = evidence.joint_confidence > 0
    assert 0.1 < angle[told].mean() < 0.6  # radians
    # who is believed is nearer to the truth
    believed = evidence.joint_confidence[told] > evidence.joint_confidence[told].median()
    assert angle[told][believed].mean() < 0.8 * angle[told][~believed].mean()


def test_swaps_exchange_the_sides(body: BodyModel, mocap: MocapSet) -> None:
    always = replace(exact(), swaps=torch.tensor([1e6, 0.0, 0.0]))
    plain, swapped = (
        EvidenceSynthesis(mocap, body, errors, seed=2, window=16, gaps=False, encoder=0).batch(60)[0]
        for errors in (exact(), always)
    )
    mirror = list(LANDMARK_MIRROR)
    exchanged = (
        torch.isclose(swapped.landmarks_image, plain.landmarks_image[:, :, mirror], atol=1e-3).all(-1).all(-1)
    )
    same = torch.isclose(swapped.landmarks_image, plain.landmarks_image, atol=1e-3).all(-1).all(-1)
    assert (exchanged ^ same).all()
    assert 0.2 < exchanged.float().mean() < 0.9
    world = swapped.landmarks_world[exchanged]
    assert torch.allclose(world, plain.landmarks_world[:, :, mirror][exchanged], atol=1e-4)


def test_sizes_of_errors_are_those_of_the_parameters(body: BodyModel, mocap: MocapSet) -> None:
    kinds = {
        "fast": torch.full((33, 5), 0.02),
        "clip": torch.full((33, 5), 0.03),
        "slow": torch.full((33, 5), 0.04),
    }
    for name, value in kinds.items():
        errors = replace(exact(), **{name: value})
        plain, wrong = (
            EvidenceSynthesis(mocap, body, one, seed=4, window=16, gaps=False, encoder=0).batch(80)[0]
            for one in (exact(), errors)
        )
        side = (plain.boxes[..., 2:] - plain.boxes[..., :2]).amax(-1)[..., None, None]
        off = (wrong.landmarks_image - plain.landmarks_image) / side
        # a detector's box differs from the landmarks' by its margin
        assert float(off.std()) == pytest.approx(float(value[0, 0]), rel=0.15)
        moved = off.diff(dim=1).square().mean() / off.square().mean()
        wanted = {"fast": 2.0, "clip": 0.0, "slow": 2 * (1 - 0.9)}[name]
        assert float(moved) == pytest.approx(wanted, abs=0.1)


def test_size_and_lean_of_the_figure(body: BodyModel, mocap: MocapSet) -> None:
    plain, sized, leaning = (
        EvidenceSynthesis(mocap, body, one, seed=4, window=8, gaps=False, encoder=0)
        .batch(200)[0]
        .landmarks_world
        for one in (
            exact(),
            replace(exact(), size=torch.tensor(0.1)),
            replace(exact(), lean=torch.tensor([0.2, 0.0])),
        )
    )
    ratio = (sized * plain).sum((1, 2, 3)) / plain.square().sum((1, 2, 3))
    assert torch.allclose(sized, ratio[:, None, None, None] * plain, atol=1e-3)
    assert float(ratio.std()) == pytest.approx(0.1, rel=0.2)
    lean = (leaning - plain)[..., 2]
    slope = (lean * plain[..., 1]).sum((1, 2)) / plain[..., 1].square().sum((1, 2))
    assert torch.allclose(lean, slope[:, None, None] * plain[..., 1], atol=1e-3)
    assert float(slope.std()) == pytest.approx(0.2, rel=0.2)
    assert torch.allclose(leaning[..., :2], plain[..., :2], atol=1e-5)


def test_seed_decides(body: BodyModel, mocap: MocapSet) -> None:
    first, again, other = (EvidenceSynthesis(mocap, body, usual(), seed=s, window=16) for s in (7, 7, 8))
    for _ in range(2):
        batches = [one.batch(6) for one in (first, again, other)]
        for part in (0, 1):
            for field in fields(batches[0][part]):
                values = [getattr(batch[part], field.name) for batch in batches]
                assert torch.equal(values[0], values[1]), field.name
        assert not torch.equal(batches[0][0].boxes, batches[2][0].boxes)


def test_hand_set_errors_where_nothing_was_estimated(
    body: BodyModel, mocap: MocapSet, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "PARAMETERS", tmp_path / "none.npz")
    by_default, by_hand = (
        EvidenceSynthesis(mocap, body, errors, seed=1, window=8).batch(3)[0] for errors in (None, usual())
    )
    assert torch.equal(by_default.landmarks_image, by_hand.landmarks_image)


def test_boxes_are_those_of_a_loop() -> None:
    pixels = 600 * torch.rand(2, 5, 33, 2, generator=torch.Generator().manual_seed(0)) - 100
    size = torch.tensor([[400.0, 300.0], [300.0, 400.0]])
    inside = ((pixels >= 0) & (pixels < size[:, None, None])).all(-1)
    inside[0, 0] = False
    made = boxes_around(pixels, inside, size)
    for row in range(2):
        for frame in range(5):
            shown = (
                pixels[row, frame][inside[row, frame]]
                if inside[row, frame].sum() >= 3
                else pixels[row, frame]
            )
            (x0, y0), (x1, y1) = shown.amin(0).tolist(), shown.amax(0).tolist()
            side = max(x1 - x0, y1 - y0)
            width, height = size[row].tolist()
            wanted = [
                max(0.0, x0 - 0.04 * side),
                max(0.0, y0 - 0.1 * side),
                min(width, x1 + 0.04 * side),
                min(height, y1 + 0.03 * side),
            ]
            assert made[row, frame].tolist() == pytest.approx(wanted, abs=1e-3)
    outside = boxes_around(pixels + 5000, torch.zeros_like(inside), size)
    assert ((outside[..., 2:] - outside[..., :2]) >= 1).all()


def test_severity_is_a_share_of_the_errors_of_a_window(body: BodyModel, mocap: MocapSet) -> None:
    noisy = replace(exact(), fast=torch.full((33, 5), 0.05))
    off = []
    for severity in (None, (1.0, 1.0), (0.5, 0.5), (0.2, 1.8)):
        made = EvidenceSynthesis(
            mocap, body, noisy, seed=9, window=16, gaps=False, encoder=0, severity=severity
        ).batch(80)[0]
        wander = made.landmarks_image.diff(n=2, dim=1).std((1, 2, 3))
        off.append(wander / (made.boxes[..., 2:] - made.boxes[..., :2]).amax(-1).mean(1))
    assert 0.4 < off[2].mean() / off[1].mean() < 0.7  # what moves in truth stays
    assert abs(off[0].mean() / off[1].mean() - 1) < 0.1
    assert off[3].std() > 1.5 * off[1].std()
