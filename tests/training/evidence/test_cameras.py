# SPDX-License-Identifier: Apache-2.0
"""Virtual cameras: a pinhole, held as people hold them, with the person in the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.body import BodyModel, load_body
from fasthmr.training.evidence.cameras import Cameras, random_cameras
from fasthmr.training.evidence.motion_windows import WorldMotion
from tests.training.evidence.seen_motion import before_cameras, windows_of


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return load_body("open")


@pytest.fixture(scope="module")
def seen(body: BodyModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[WorldMotion, Cameras]:
    return before_cameras(body, tmp_path_factory.mktemp("cameras") / "set", 300)


def test_projection_is_that_of_a_pinhole(seen: tuple[WorldMotion, Cameras]) -> None:
    motion, cameras = seen
    points = cameras.points(motion.joints)
    pixels = cameras.project(points)
    for row in range(0, 300, 60):
        for frame in (0, 11, 23):
            turn, place = cameras.camera_from_world[row, frame].numpy(), cameras.place[row, frame].numpy()
            matrix = cameras.intrinsics[row].numpy()
            for joint in (0, 7, 15, 22):
                point = turn @ (motion.joints[row, frame, joint].numpy() - place)
                np.testing.assert_allclose(points[row, frame, joint], point, atol=1e-4)
                if point[2] > 0.1:
                    image = matrix @ point
                    np.testing.assert_allclose(pixels[row, frame, joint], image[:2] / image[2], rtol=1e-3)


def test_directions_turn_without_moving(seen: tuple[WorldMotion, Cameras]) -> None:
    motion, cameras = seen
    up = torch.tensor([0.0, 0.0, 1.0]).expand(300, 24, 3)
    ends = cameras.points((motion.pelvis + up)[:, :, None]) - cameras.points(motion.pelvis[:, :, None])
    assert torch.allclose(cameras.directions(up), ends[:, :, 0], atol=1e-4)


def test_cameras_are_rotations_with_the_sky_above(seen: tuple[WorldMotion, Cameras]) -> None:
    turn = seen[1].camera_from_world
    assert torch.allclose(turn @ turn.mT, torch.eye(3).expand_as(turn), atol=1e-5)
    assert (torch.linalg.det(turn) > 0.99).all()
    up = seen[1].directions(torch.tensor([0.0, 0.0, 1.0]).expand(300, 24, 3))
    assert (up[..., 1] < -0.5).all()  # y points down in the image
    assert up[..., 0].abs().median() < 0.06  # rolled by a few degrees


def test_persons_are_in_the_picture(seen: tuple[WorldMotion, Cameras]) -> None:
    motion, cameras = seen
    points = cameras.points(motion.joints)
    assert (points[..., 2] > 0.3).float().mean() > 0.995
    pixels, size = cameras.project(points), cameras.image_size[:, None, None]
    inside = ((pixels >= 0) & (pixels < size)).all(-1)
    assert inside.float().mean() > 0.85
    assert (inside.float().mean((1, 2)) > 0.5).float().mean() > 0.95
    # as large as the picture, or as small as a sixth of it
    height = (pixels[..., 1].amax(2) - pixels[..., 1].amin(2)).median(1).values / cameras.image_size[:, 1]
    assert height.quantile(0.05) < 0.35
    assert height.quantile(0.95) > 0.7
    assert cameras.intrinsics[:, 0, 0].min() > 0.6 * cameras.image_size.amax(1).min()


def test_some_stand_still_and_some_follow(body: BodyModel, tmp_path: Path) -> None:
    motion = windows_of(body, tmp_path / "set", 24).draw(200)
    walk = torch.linspace(-1, 1, 24)[None, :, None] * torch.tensor([1.5, 0.0, 0.0])
    motion = WorldMotion(
        **{**vars(motion), "pelvis": motion.pelvis + walk, "joints": motion.joints + walk[:, :, None]}
    )
    cameras = random_cameras(motion, torch.Generator().manual_seed(0))
    turned = (
        (cameras.camera_from_world[:, 1:] @ cameras.camera_from_world[:, :1].mT - torch.eye(3))
        .abs()
        .amax((1, 2, 3))
    )
    moved = (cameras.place - cameras.place[:, :1]).norm(dim=-1).amax(1)
    still = (turned < 1e-4) & (moved < 1e-5)
    assert 0.2 < still.float().mean() < 0.47
    assert (moved > 0.1).any()
    # who follows has the walker nearer to one place in the picture
    pixels = cameras.project(cameras.points(motion.pelvis[:, :, None]))[:, :, 0]
    range_ = (pixels.amax(1) - pixels.amin(1))[:, 0] / cameras.intrinsics[:, 0, 0]
    assert range_[~still].median() < range_[still].median()


def test_seed_decides(body: BodyModel, tmp_path: Path) -> None:
    first, again = (before_cameras(body, tmp_path / "set", 4, seed=3)[1] for _ in range(2))
    other = before_cameras(body, tmp_path / "set", 4, seed=4)[1]
    assert torch.equal(first.place, again.place)
    assert torch.equal(first.camera_from_world, again.camera_from_world)
    assert not torch.equal(first.place, other.place)
