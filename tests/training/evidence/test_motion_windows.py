# SPDX-License-Identifier: Apache-2.0
"""Windows of motion: as they were captured, mirrored, at other speeds, and on other bodies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.body.skeleton import INDEX, MIRROR
from fasthmr.errors import BadInput
from fasthmr.training.evidence.motion_windows import (
    MotionWindows,
    WorldMotion,
    _matrices,
    _mirror_quaternions,
)
from fasthmr.training.mocap.packed import MocapSet, quaternions_from_matrices, write_mocap_set
from tests.training.evidence.seen_motion import windows_of
from tests.training.tiny_mocap import swaying


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


def geodesic(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return ((((one.mT @ other).diagonal(dim1=-1, dim2=-2).sum(-1)) - 1) / 2).clamp(-1, 1).acos()


def test_joints_are_those_of_the_body(body: BodyModel, tmp_path: Path) -> None:
    motion = windows_of(body, tmp_path / "set").draw(6)
    assert motion.rotations.shape == (6, 24, 24, 3, 3)
    flat = motion.rotations.flatten(0, 1)
    joints, turns = body.joints(flat, motion.betas.repeat_interleave(24, 0))
    joints = (joints - joints[:, :1]).unflatten(0, (6, 24)) + motion.pelvis[:, :, None]
    assert torch.allclose(motion.joints, joints, atol=1e-5)
    assert torch.allclose(motion.turns, turns.unflatten(0, (6, 24)), atol=1e-5)
    middle = motion.pelvis[:, 12, :2]
    assert torch.allclose(middle, torch.zeros_like(middle), atol=1e-6)
    assert ((motion.betas.abs() <= 2.5) & motion.betas.isfinite()).all()
    assert set(motion.contacts.unique().tolist()) <= {0.0, 1.0}


def test_plain_windows_are_cut_out_of_the_clips(body: BodyModel, tmp_path: Path) -> None:
    clip = swaying(body, 24, 0)
    write_mocap_set(tmp_path / "set", [clip])
    windows = MotionWindows(
        MocapSet.open(tmp_path / "set"), body, torch.Generator().manual_seed(0), 24, augmented=False
    )
    motion = windows.draw(3)
    assert torch.allclose(motion.step, torch.full((3,), 1 / 30))
    assert motion.valid.all()
    wanted = torch.from_numpy(clip.rotations)
    for row in range(3):
        assert geodesic(motion.rotations[row][:, 1:], wanted[:, 1:]).max() < 2e-3
        # all but the heading, which is another one each time
        turn = motion.rotations[row, :, 0] @ wanted[:, 0].mT
        assert torch.allclose(turn, turn[:1].expand_as(turn), atol=1e-3)
        assert torch.allclose(turn[0, :, 2], torch.tensor([0.0, 0.0, 1.0]), atol=1e-3)
        path = torch.from_numpy(clip.pelvis) @ turn[0].mT
        path = path - path[12] * torch.tensor([1.0, 1.0, 0.0])
        assert torch.allclose(motion.pelvis[row], path, atol=1e-4)
    assert geodesic(motion.rotations[0, :1, 0], motion.rotations[1, :1, 0]).max() > 0.01


def test_a_clip_that_ends_early_stays_as_it_is(body: BodyModel, tmp_path: Path) -> None:
    write_mocap_set(tmp_path / "set", [swaying(body, 10, 0)])
    windows = MotionWindows(
        MocapSet.open(tmp_path / "set"), body, torch.Generator().manual_seed(0), 24, augmented=False
    )
    motion = windows.draw(2)
    assert motion.valid[:, :10].all()
    assert not motion.valid[:, 10:].any()
    assert torch.allclose(motion.joints[:, 10:], motion.joints[:, 9:10].expand(-1, 14, -1, -1), atol=1e-5)


def test_mirrored_poses_are_mirror_images(body: BodyModel) -> None:
    rotations = torch.from_numpy(swaying(body, 6, 3).rotations)
    quaternions = torch.from_numpy(quaternions_from_matrices(rotations.numpy()))[None]
    mirrored = _matrices(_mirror_quaternions(quaternions))[0]
    betas = torch.zeros(6, 10)
    plain, _ = body.joints(rotations, betas)
    turned, _ = body.joints(mirrored, betas)
    plain, turned = plain - plain[:, :1], turned - turned[:, :1]
    image = plain[:, list(MIRROR)] * torch.tensor([-1.0, 1.0, 1.0])
    # the body's own two sides differ by a little
    assert (turned - image).norm(dim=-1).max() < 0.01
    assert (turned - plain).norm(dim=-1).max() > 0.1
    assert torch.allclose(_mirror_quaternions(_mirror_quaternions(quaternions)), quaternions)


def test_half_of_the_windows_are_mirrored(body: BodyModel, tmp_path: Path) -> None:
    motion = windows_of(body, tmp_path / "set").draw(200)
    left = motion.contacts[:, 0, 0] > 0  # the left foot is the one that stands in the clips
    assert torch.equal(motion.contacts[:, 0, :2].amax(1) > 0, left)
    assert torch.equal(motion.contacts[:, 0, 2] > 0, ~left)
    assert 0.38 < left.float().mean() < 0.62


def planted(motion: WorldMotion, joints: torch.Tensor) -> torch.Tensor:
    """Farthest that the standing ankle (B,) gets from where it was, metres."""
    rows = torch.where(motion.contacts[:, 0, 0] > 0, INDEX["left_ankle"], INDEX["right_ankle"])
    ankle = joints[torch.arange(len(rows)), :, rows]
    return (ankle - ankle.mean(1, keepdim=True)).norm(dim=-1).amax(1)


def test_feet_still_stand_on_other_bodies(body: BodyModel, tmp_path: Path) -> None:
    windows = windows_of(body, tmp_path / "set", 32)
    motion = windows.draw(200)
    slide = planted(motion, motion.joints)
    assert slide.median() < 0.01
    assert slide.max() < 0.06
    # with the path as it was captured, they would slide more
    captured = torch.tensor([clip.betas for clip in MocapSet.open(tmp_path / "set").of_split("train")])
    usual = windows._leg_length(captured).mean()
    grown = (usual / windows._leg_length(motion.betas))[:, None, None]
    unscaled = motion.joints + (grown - 1).unsqueeze(-1) * motion.pelvis[:, :, None]
    assert planted(motion, unscaled).mean() > 1.5 * slide.mean()


def test_half_of_the_warped_windows_are_told_at_another_rate(body: BodyModel, tmp_path: Path) -> None:
    motion = windows_of(body, tmp_path / "set").draw(400)
    rate = 1 / motion.step
    plain = (rate - 30).abs() < 1e-3
    assert 0.4 < plain.float().mean() < 0.6
    assert rate.min() > 30 / 1.25 - 0.01
    assert rate.max() < 30 / 0.8 + 0.01
    assert rate.max() > 36
    assert rate.min() < 25


def test_warped_windows_are_the_clip_at_other_times(body: BodyModel, tmp_path: Path) -> None:
    """The root's heading turns at an even speed in the clip; in a window it says how fast time goes."""
    clip = swaying(body, 200, 11)
    still = swaying(body, 200, 11, still=True)
    rotations = still.rotations.copy()
    angle = 0.5 * torch.arange(200) / 30  # half a radian a second
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).unflatten(-1, (2, 2))
    about = torch.eye(3).repeat(200, 1, 1)
    about[:, :2, :2] = turn
    rotations[:, 0] = (about @ torch.from_numpy(still.rotations[:, 0])).numpy()
    write_mocap_set(tmp_path / "set", [type(clip)(**{**vars(still), "rotations": rotations})])
    windows = MotionWindows(MocapSet.open(tmp_path / "set"), body, torch.Generator().manual_seed(0), 24)
    motion = windows.draw(100)
    steps = geodesic(motion.rotations[:, 1:, 0], motion.rotations[:, :-1, 0])
    speed = steps.mean(1) / (0.5 / 30)
    assert torch.allclose(steps, steps.mean(1, keepdim=True).expand_as(steps), atol=2e-3)
    assert speed.min() > 0.75
    assert speed.max() < 1.3
    told = (motion.step * 30 - 1).abs() > 1e-3
    assert torch.allclose(speed[told], motion.step[told] * 30, atol=0.05)  # so the motion keeps its speed
    assert (speed[~told] - 1).abs().max() > 0.1


def test_seed_decides(body: BodyModel, tmp_path: Path) -> None:
    first, again, other = (windows_of(body, tmp_path / "set", seed=seed).draw(5) for seed in (1, 1, 2))
    assert torch.equal(first.joints, again.joints)
    assert not torch.equal(first.joints, other.joints)


def test_split_without_clips_is_refused(body: BodyModel, tmp_path: Path) -> None:
    write_mocap_set(tmp_path / "set", [swaying(body, 10, 0)])
    with pytest.raises(BadInput, match="no clips for 'test'"):
        MotionWindows(MocapSet.open(tmp_path / "set"), body, torch.Generator(), 8, "test")
