# SPDX-License-Identifier: Apache-2.0
"""Varied motion: limbs of others, other bends, feet that stay, and everything else as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.body.skeleton import INDEX
from fasthmr.training.evidence import varied_motion
from fasthmr.training.evidence.motion_windows import MotionWindows, WorldMotion
from fasthmr.training.evidence.varied_motion import planted_shift, vary
from fasthmr.training.mocap.packed import MocapSet
from tests.training.evidence.seen_motion import windows_of
from tests.training.evidence.test_motion_windows import geodesic


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


def varied(motion: WorldMotion, body: BodyModel, seed: int = 0) -> tuple[torch.Tensor, ...]:
    return vary(
        motion.rotations,
        motion.pelvis,
        motion.contacts,
        motion.valid,
        motion.betas,
        body,
        torch.Generator().manual_seed(seed),
    )


def only(monkeypatch: pytest.MonkeyPatch, **shares: float) -> None:
    for name in ("_OTHER_ARMS", "_OTHER_TRUNK", "_BENT", "_LEANING", "_LYING"):
        monkeypatch.setattr(varied_motion, name, shares.get(name, 0.0))


def test_nothing_drawn_changes_nothing(
    body: BodyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch)
    motion = windows_of(body, tmp_path / "set").draw(5)
    rotations, pelvis, contacts = varied(motion, body)
    assert torch.allclose(rotations, motion.rotations, atol=1e-6)
    assert torch.allclose(pelvis, motion.pelvis, atol=1e-5)
    assert torch.equal(contacts, motion.contacts)


def test_arms_are_those_of_another_whole_window(
    body: BodyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, _OTHER_ARMS=1.0)
    motion = windows_of(body, tmp_path / "set").draw(8)
    motion.valid[2, -4:] = False
    rotations, _, _ = varied(motion, body)
    arms = varied_motion._ARMS
    rest = [joint for joint in range(24) if joint not in arms]
    assert torch.equal(rotations[:, :, rest], motion.rotations[:, :, rest])
    assert torch.equal(rotations[2], motion.rotations[2])
    lent = 0
    for row in range(8):
        owners = [
            other
            for other in range(8)
            if torch.equal(rotations[row][:, arms], motion.rotations[other][:, arms])
        ]
        assert owners, "arms of nobody"
        if row != 2:
            assert 2 not in owners
        lent += row not in owners
    assert lent >= 3


def test_joints_are_bent_smoothly_and_hinges_keep_their_axes(
    body: BodyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, _BENT=1.0)
    motion = windows_of(body, tmp_path / "set").draw(40)
    rotations, _, _ = varied(motion, body)
    assert torch.allclose(rotations @ rotations.mT, torch.eye(3).expand_as(rotations), atol=1e-4), (
        "not rotations any more"
    )
    turned = geodesic(rotations, motion.rotations).rad2deg()
    for name in ("pelvis", "left_foot", "right_hand"):
        assert turned[:, :, INDEX[name]].max() < 0.1
    shoulder = turned[:, :, INDEX["left_shoulder"]]
    # three axes of 8 degrees, half of it lasting, half of it a swing
    assert 6.0 < shoulder.mean() < 16.0
    assert (shoulder[:, 1:] - shoulder[:, :-1]).abs().max() < 8.0
    knee = INDEX["left_knee"]
    was, now = motion.rotations[:, :, knee].flatten(0, 1), rotations[:, :, knee].flatten(0, 1)
    was, now = (one - one.mT for one in (was, now))  # along the axis, by twice the sine
    along = (was * now).sum((-1, -2)) / (was.norm(dim=(-1, -2)) * now.norm(dim=(-1, -2))).clamp_min(1e-9)
    assert along[was.norm(dim=(-1, -2)) > 0.1].min() > 0.99


def test_a_standing_point_stays(body: BodyModel) -> None:
    generator = torch.Generator().manual_seed(0)
    before = torch.randn(3, 30, 4, 3, generator=generator)
    after = before + torch.randn(3, 1, 4, 3, generator=generator)  # moved, and as far all the time
    contacts = torch.zeros(3, 30, 4)
    contacts[0, :, 1] = 1
    contacts[1, 5:12, 0] = 1
    shift = planted_shift(before, after, contacts)
    assert torch.allclose((after + shift[:, :, None])[0, :, 1], before[0, :, 1], atol=1e-5)
    assert torch.allclose((after + shift[:, :, None])[1, 5:12, 0], before[1, 5:12, 0], atol=1e-5)
    assert torch.equal(shift[2], torch.zeros(30, 3)), "nothing stands"


def test_between_two_stands_the_shift_goes_from_one_to_the_other() -> None:
    before = torch.zeros(1, 60, 4, 3)
    after = before.clone()
    after[0, :, 0, 0], after[0, :, 2, 0] = -0.1, 0.1
    contacts = torch.zeros(1, 60, 4)
    contacts[0, :20, 0] = contacts[0, 40:, 2] = 1
    shift = planted_shift(before, after, contacts)[0, :, 0]
    assert shift[:10].sub(0.1).abs().max() < 1e-3
    assert shift[50:].add(0.1).abs().max() < 1e-3
    assert (shift[1:] <= shift[:-1] + 1e-4).all()
    assert (shift[1:] - shift[:-1]).abs().max() < 0.03


def test_feet_of_the_set_slide_little_more_than_before(body: BodyModel, tmp_path: Path) -> None:
    windows_of(body, tmp_path / "set")
    slides = []
    for is_varied in (False, True):
        windows = MotionWindows(
            MocapSet.open(tmp_path / "set"),
            body,
            torch.Generator().manual_seed(1),
            24,
            varied=is_varied,
        )
        motion = windows.draw(64)
        feet = motion.joints[:, :, varied_motion._FEET]
        both = motion.contacts[:, 1:] * motion.contacts[:, :-1] * motion.valid[:, 1:, None]
        slides.append(
            float(((feet[:, 1:] - feet[:, :-1]).norm(dim=-1) * both).sum() / both.sum().clamp_min(1))
        )
    assert slides[1] < slides[0] + 0.004  # metres a frame


def test_somebody_laid_down_rests_on_the_floor_and_on_no_foot(
    body: BodyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, _LYING=1.0)
    motion = windows_of(body, tmp_path / "set").draw(12)
    rotations, pelvis, contacts = varied(motion, body)
    assert not contacts.any()
    flat, shapes = rotations.flatten(0, 1), motion.betas.repeat_interleave(24, 0)
    joints, _ = body.joints(flat, shapes)
    joints = (joints - joints[:, :1]).unflatten(0, (12, 24)) + pelvis[:, :, None]
    assert torch.allclose(
        joints[..., 2].amin((1, 2)), torch.full((12,), varied_motion._LEAST_HEIGHT), atol=1e-4
    )
    lean = geodesic(rotations[:, :, 0], motion.rotations[:, :, 0])
    assert lean.mean().rad2deg() > 20
    assert torch.equal(rotations[:, :, 1:], motion.rotations[:, :, 1:])


def test_the_same_seed_gives_the_same(body: BodyModel, tmp_path: Path) -> None:
    motion = windows_of(body, tmp_path / "set").draw(6)
    one, same, other = varied(motion, body, 3), varied(motion, body, 3), varied(motion, body, 4)
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one[0], other[0])
