# SPDX-License-Identifier: Apache-2.0
"""Scenes: the truth fits together, and the crop's camera shows what the crop would show."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.body import BodyModel
from fasthmr.encoder.crop_geometry import HMR2_CROP, CropSquare, crop_from_image, square_of
from fasthmr.training.evidence.body_landmarks import BodyLandmarks
from fasthmr.training.synthesis.scenes import Scenes
from tests.training.synthesis.posed_people import some_scenes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes") / "set"


@pytest.fixture(scope="module")
def scenes(body: BodyModel, folder: Path) -> Scenes:
    return some_scenes(body, folder, 300)


def test_rotations_pelvis_and_shape_give_joints_and_landmarks(scenes: Scenes, body: BodyModel) -> None:
    joints, turns = body.joints(torch.from_numpy(scenes.rotations), torch.from_numpy(scenes.betas))
    joints = joints - joints[:, :1] + torch.from_numpy(scenes.pelvis)[:, None]
    np.testing.assert_allclose(scenes.joints, joints, atol=2e-4)
    np.testing.assert_allclose(scenes.turns, turns, atol=1e-4)
    marks = BodyLandmarks(body).place(joints[:, None], turns[:, None], torch.from_numpy(scenes.betas))
    np.testing.assert_allclose(scenes.landmarks, marks[:, 0], atol=5e-4)


def test_the_world_stands_on_its_floor(scenes: Scenes) -> None:
    pose = scenes.world_from_camera
    world = np.einsum("nab,nkb->nka", pose[:, :3, :3], scenes.joints) + pose[:, None, :3, 3]
    # the tiny set's left foot is planted, which a body of other proportions keeps to roughly
    planted = world[:, 7, 2] - 0.08
    assert np.median(np.abs(planted)) < 0.1
    assert np.abs(planted).max() < 0.5
    assert (world[:, 15, 2] > world[:, 0, 2]).mean() > 0.95  # heads over pelvises


def test_company_stands_beside_on_the_same_floor(scenes: Scenes) -> None:
    pose = scenes.world_from_camera
    mine, other = (
        np.einsum("nab,nkb->nka", pose[:, :3, :3], joints) + pose[:, None, :3, 3]
        for joints in (scenes.joints, scenes.company_joints)
    )
    away = np.linalg.norm(mine[:, 0, :2] - other[:, 0, :2], axis=1)
    assert away.min() >= 0.3
    assert np.median(away) < 1.6
    # it is the next scene's person, on that person's own feet
    np.testing.assert_allclose(other[1:, :, 2], mine[:-1, :, 2], atol=2e-3)
    assert 0.08 < scenes.company.mean() < 0.25
    depth = scenes.company_joints[..., 0, 2] - scenes.joints[:, 0, 2]
    assert 0.3 < (depth < 0).mean() < 0.9  # before, or behind


def test_crop_camera_agrees_with_the_rule_of_crops(scenes: Scenes) -> None:
    for row in range(0, 300, 20):
        points = scenes.landmarks[row].astype(np.float64)
        crop = points @ scenes.crop_camera(row).T
        crop = crop[:, :2] / crop[:, 2:]
        square = CropSquare(*scenes.squares[row].astype(float))
        whole = points @ scenes.intrinsics[row].T
        whole = whole[:, :2] / whole[:, 2:]
        # indices: the middle of pixel 0 is 0 for the rule, and 0.5 for cameras
        column = crop_from_image(square, whole[:, 0] - 0.5, 0) - 32
        line = crop_from_image(square, whole[:, 1] - 0.5, 1)
        np.testing.assert_allclose(crop - 0.5, np.stack([column, line], axis=1), atol=1e-2)


def test_boxes_are_in_the_picture_around_the_person(scenes: Scenes) -> None:
    low, high = scenes.boxes[:, :2], scenes.boxes[:, 2:]
    assert (low >= 0).all()
    assert (high <= scenes.image_size).all()
    assert (high - low >= 2).all()
    np.testing.assert_allclose(scenes.squares, square_of(scenes.boxes, HMR2_CROP), rtol=1e-6)
    within = np.all((scenes.pixels >= low[:, None]) & (scenes.pixels <= high[:, None]), axis=-1)
    share = np.mean(within[scenes.inside])
    assert 0.93 < share < 1  # detectors err


def test_some_are_cut_off_and_nobody_is_lost(scenes: Scenes) -> None:
    seen = scenes.inside.sum(1)
    assert 0.08 < (seen < 30).mean() < 0.35
    assert seen.min() >= 3
    size = scenes.image_size[:, None]
    np.testing.assert_array_equal(
        scenes.inside,
        ((scenes.pixels >= 0) & (scenes.pixels < size)).all(-1) & (scenes.landmarks[..., 2] > 0.2),
    )


def test_seeds_decide(scenes: Scenes, body: BodyModel, folder: Path) -> None:
    same, other = some_scenes(body, folder, 300), some_scenes(body, folder, 300, seed=5)
    for field in fields(Scenes):
        np.testing.assert_array_equal(getattr(scenes, field.name), getattr(same, field.name))
    assert (scenes.pelvis != other.pelvis).any()
