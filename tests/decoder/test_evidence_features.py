# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fasthmr.body import load_body
from fasthmr.decoder.evidence_features import CHANNELS, FEATURE_COUNT, evidence_features
from fasthmr.decoder.segments import rot6d_from_matrix, segments_from_local
from fasthmr.decoder.view_frame import box_rays, camera_from_view
from tests.decoder.smooth_people import people, with_encoder

BODY = load_body("open")
LANDMARKS = slice(6, 6 + 150)
ENCODER = slice(156, None)


def test_size_and_scale() -> None:
    features = evidence_features(with_encoder(*people(BODY, 8, 16)))
    assert features.shape == (8, 16, FEATURE_COUNT)
    assert features.isfinite().all()
    assert features.abs().max() < 6  # about unit size


def test_nobody_seen_leaves_flags_and_time_alone() -> None:
    evidence, _ = people(BODY, 2, 8)
    visibility = evidence.visibility.clone()
    visibility[0, 3] = 0
    features = evidence_features(replace(evidence, visibility=visibility, step=torch.full((2,), 1 / 15)))
    assert features[0, 3, 0] == 0
    assert features[0, 3, 1] == pytest.approx(0.6931, abs=1e-3)  # the logarithm of twice the usual step
    assert not features[0, 3, 2:].any()
    assert features[0, 4, 0] == 1


@pytest.mark.parametrize("channel", CHANNELS)
def test_channel_left_out_changes_its_own_numbers_alone(channel: str) -> None:
    evidence = with_encoder(*people(BODY, 2, 8))
    whole, part = evidence_features(evidence), evidence_features(evidence, (channel,))
    changed = (whole != part).any(0).any(0).nonzero()[:, 0].tolist()
    expected = {
        "box": range(3, 6),
        "image": range(6, 56),
        "world": range(56, 131),
        "visibility": range(131, 156),
        "encoder": [2, *range(156, FEATURE_COUNT)],
    }[channel]
    assert changed
    assert set(changed) <= set(expected)


def test_unknown_channel_is_an_error() -> None:
    with pytest.raises(ValueError, match="smell"):
        evidence_features(people(BODY, 1, 2)[0], ("smell",))


def test_encoder_is_told_in_the_view_frame() -> None:
    evidence, motion = people(BODY, 2, 4)
    features = evidence_features(with_encoder(evidence, motion))[..., ENCODER]
    view = camera_from_view(box_rays(evidence.boxes, evidence.intrinsics)[0])
    segments = view.mT[:, :, None] @ segments_from_local(motion.rotations)
    assert torch.allclose(features[..., :144], rot6d_from_matrix(segments).flatten(2), atol=1e-5)
    assert (features[..., 144:] == 0.5).all()


def test_place_in_the_picture_changes_the_box_numbers_alone() -> None:
    evidence, _ = people(BODY, 2, 4)
    shift = torch.tensor([100.0, -40.0])
    moved = replace(
        evidence,
        landmarks_image=evidence.landmarks_image + shift,
        boxes=evidence.boxes + torch.cat([shift, shift]),
    )
    first, second = evidence_features(evidence), evidence_features(moved)
    assert torch.allclose(first[..., LANDMARKS], second[..., LANDMARKS], atol=1e-4)
    assert (first[..., 3:5] != second[..., 3:5]).all()
