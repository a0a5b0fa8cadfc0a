# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from fasthmr.body import load_body
from fasthmr.decoder.motion_features import FEATURE_COUNT, blurred, motion_features, read_features
from fasthmr.decoder.segments import segments_from_local
from fasthmr.decoder.view_frame import box_rays, camera_from_view
from tests.decoder.smooth_people import people


def test_motion_is_read_back_from_its_numbers() -> None:
    evidence, motion = people(load_body("open"), 3, 12)
    features = motion_features(motion, evidence)
    assert features.shape == (3, 12, FEATURE_COUNT)
    read = read_features(features)
    turn = camera_from_view(box_rays(evidence.boxes, evidence.intrinsics)[0])
    assert torch.allclose(turn[:, :, None] @ read.segments, segments_from_local(motion.rotations), atol=1e-5)
    assert torch.allclose((turn @ read.up[..., None])[..., 0], motion.up, atol=1e-5)
    assert torch.equal(read.contacts, motion.contacts)
    speed = (turn @ read.speed[..., None])[..., 0]
    walked = motion.pelvis[:, :1] + (speed[:, :-1] / 30).cumsum(1)
    assert torch.allclose(walked, motion.pelvis[:, 1:], atol=1e-4)


def test_one_frame_stands_still() -> None:
    evidence, motion = people(load_body("open"), 1, 1)
    assert not read_features(motion_features(motion, evidence)).speed.any()


def test_any_numbers_are_a_motion() -> None:
    read = read_features(torch.randn(4, 5, FEATURE_COUNT, generator=torch.Generator().manual_seed(1)))
    unit = read.segments @ read.segments.mT
    assert torch.allclose(unit, torch.eye(3).expand_as(unit), atol=1e-4)
    assert read.contacts.min() >= 0
    assert read.contacts.max() <= 1


def test_blur_is_a_mean_over_neighbours_that_repeats_the_ends() -> None:
    features = torch.randn(2, 9, 5, generator=torch.Generator().manual_seed(1))
    weights = [1, 4, 6, 4, 1]
    for frame in range(9):
        near = [features[:, min(max(frame + offset, 0), 8)] for offset in range(-2, 3)]
        naive = sum(weight * one for weight, one in zip(weights, near, strict=True)) / 16
        assert torch.allclose(blurred(features)[:, frame], naive, atol=1e-6)


def test_blur_keeps_steady_motion_and_takes_trembling_away() -> None:
    time = torch.arange(40.0)[None, :, None]
    steady = blurred(2 + 3 * time)[:, 2:-2]
    assert torch.allclose(steady, (2 + 3 * time)[:, 2:-2], rtol=1e-5)
    trembling = torch.where(time % 2 == 0, 1.0, -1.0)
    assert blurred(trembling)[:, 2:-2].abs().max() < 1e-6
