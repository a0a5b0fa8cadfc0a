# SPDX-License-Identifier: Apache-2.0
"""Cameras that cut people off: by the edge, never altogether, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fasthmr.body import BodyModel
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from fasthmr.training.evidence.cameras import Cameras
from fasthmr.training.synthesis.framing import cut_some
from tests.training.evidence.seen_motion import before_cameras


@pytest.fixture(scope="module")
def seen(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cameras, Tensor]:
    folder: Path = tmp_path_factory.mktemp("framing") / "set"
    motion, cameras = before_cameras(body, folder, 300, window=1)
    return cameras, BodyLandmarks(body).place(motion.joints, motion.turns, motion.betas)


def inside(cameras: Cameras, marks: Tensor) -> Tensor:
    pixels = cameras.project(cameras.points(marks))[:, 0]
    return ((pixels >= 0) & (pixels < cameras.image_size[:, None])).all(-1)


def test_no_share_no_change(seen: tuple[Cameras, Tensor]) -> None:
    cameras, marks = seen
    same = cut_some(cameras, marks, 0.0, torch.Generator().manual_seed(0))
    assert torch.equal(same.camera_from_world, cameras.camera_from_world)
    assert torch.equal(same.intrinsics, cameras.intrinsics)


def test_most_are_cut_and_nobody_is_lost(seen: tuple[Cameras, Tensor]) -> None:
    cameras, marks = seen
    cut = cut_some(cameras, marks, 1.0, torch.Generator().manual_seed(0))
    changed = (cut.camera_from_world != cameras.camera_from_world).flatten(1).any(1)
    assert changed.float().mean() > 0.8
    count = inside(cut, marks)[changed].sum(1)
    assert count.min() >= 10
    assert (count < 33).float().mean() > 0.9
    before = inside(cameras, marks)
    assert torch.equal(inside(cut, marks)[~changed], before[~changed])
    # every edge cuts somebody
    pixels = cut.project(cut.points(marks))[changed, 0]
    for axis in (0, 1):
        assert (pixels[..., axis].amin(1) < 0).float().mean() > 0.05
        assert (pixels[..., axis].amax(1) > cut.image_size[changed, axis]).float().mean() > 0.1


def test_only_direction_and_zoom_change(seen: tuple[Cameras, Tensor]) -> None:
    cameras, marks = seen
    cut = cut_some(cameras, marks, 0.5, torch.Generator().manual_seed(1))
    assert torch.equal(cut.place, cameras.place)
    assert torch.equal(cut.image_size, cameras.image_size)
    assert torch.equal(cut.intrinsics[:, :2, 2], cameras.intrinsics[:, :2, 2])
    zoom = cut.intrinsics[:, 0, 0] / cameras.intrinsics[:, 0, 0]
    assert 1 <= zoom.min() <= zoom.max() <= 2
    torch.testing.assert_close(cut.intrinsics[:, 0, 0], cut.intrinsics[:, 1, 1])
    turn = cut.camera_from_world
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3).expand_as(turn), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turn), torch.ones(300, 1), atol=1e-5, rtol=0)
    changed = (cut.camera_from_world != cameras.camera_from_world).flatten(1).any(1)
    assert 0.3 < changed.float().mean() < 0.6
