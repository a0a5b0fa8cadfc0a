# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from fasthmr.body import load_body
from fasthmr.decoder.motion_features import FEATURE_COUNT, motion_features, read_features
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
