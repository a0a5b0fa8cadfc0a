# SPDX-License-Identifier: Apache-2.0
"""An encoder is believed as far as its body lies on the landmarks, and no further."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from fasthmr.body.projection import directions, turn_from_forward
from fasthmr.body.skeleton import INDEX, JOINT_NAMES, MIRROR
from fasthmr.encoder.agreement import joint_belief
from fasthmr.evidence import Evidence
from tests.decoder.landmark_fit.synthetic import (
    BODY,
    INTRINSICS,
    acting,
    evidence_of,
    hide,
    turned_by_chance,
)

FRAMES = 40
ROTATIONS, PELVIS = acting(FRAMES)
SCALE = 1400 / PELVIS[:, 2].numpy()  # pixels of a metre at the person's distance
ARM = ("left_shoulder", "left_elbow", "left_wrist", "left_hand")


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    return evidence_of(ROTATIONS, PELVIS, torch.zeros(10), pixel_noise=4)[0]


def belief(evidence: Evidence, rotations: torch.Tensor, scale: np.ndarray = SCALE) -> np.ndarray:
    """Belief in rotations whose root is in the camera's axes."""
    centres = torch.from_numpy(evidence.boxes).reshape(-1, 2, 2).mean(1)
    turn = turn_from_forward(directions(centres, torch.tensor(INTRINSICS).float()))
    in_crop = torch.cat([(turn.mT @ rotations[:, 0])[:, None], rotations[:, 1:]], dim=1)
    joints, turned = BODY.joints(in_crop, torch.zeros(10))
    return joint_belief(
        (joints - joints[:, :1]).numpy(),
        turned[:, INDEX["head"]].numpy(),
        scale,
        evidence.landmarks_image[..., :2],
        evidence.visibility,
    )


def test_the_better_the_encoder_the_more_it_is_believed(evidence: Evidence) -> None:
    levels = [belief(evidence, turned_by_chance(ROTATIONS, degrees, 3)) for degrees in (0, 5, 10, 20, 60)]
    means = [float(level.mean()) for level in levels]
    assert levels[0].shape == (FRAMES, 24)
    assert levels[0].dtype == np.float32
    assert means[0] > 0.85
    assert means[1] > 0.7  # 60 mm a joint: what published encoders reach
    assert means == sorted(means, reverse=True)
    assert means[3] < 0.2
    assert levels[4].max() < 0.01
    assert all(level.min() >= 0 and level.max() <= 1 for level in levels)


def test_one_wrong_limb_is_not_believed_and_the_others_are(evidence: Evidence) -> None:
    wrong = ROTATIONS.clone()
    swing = torch.tensor([0.7, 0.0, 0.0])  # seen from the side: across the line of sight
    wrong[:, INDEX["right_hip"]] @= roma.rotvec_to_rotmat(swing)
    found, right = belief(evidence, wrong), belief(evidence, ROTATIONS)
    assert found[:, INDEX["right_hip"]].max() < 0.2
    for name in ("left_hip", "left_shoulder", "right_shoulder", "head", "right_elbow"):
        assert found[:, INDEX[name]].mean() > 0.6 * right[:, INDEX[name]].mean()


def test_a_head_that_looks_elsewhere_is_not_believed(evidence: Evidence) -> None:
    wrong = ROTATIONS.clone()
    wrong[:, INDEX["head"]] @= torch.diag(torch.tensor([-1.0, 1.0, -1.0]))  # backwards
    found = belief(evidence, wrong)
    assert found[:, INDEX["head"]].max() < 0.1
    assert found[:, INDEX["left_knee"]].mean() > 0.8


def test_a_mirrored_person_is_not_believed(evidence: Evidence) -> None:
    mirrored = ROTATIONS[:, list(MIRROR)]
    assert belief(evidence, mirrored).mean() < 0.25 * belief(evidence, ROTATIONS).mean()


def test_what_is_hidden_is_believed_as_far_as_the_rest_bears_it_out(evidence: Evidence) -> None:
    hidden = hide(evidence, ("left_shoulder", "left_elbow", "left_wrist", "left_index", "left_pinky"))
    good = belief(hidden, ROTATIONS)[:, [INDEX[name] for name in ARM]]
    assert good.min() > 0.5
    assert good.max() < 0.75  # less than what can be seen to agree
    bad = belief(hidden, turned_by_chance(ROTATIONS, 60, 3))[:, [INDEX[name] for name in ARM]]
    assert bad.max() < 0.05


def test_a_frame_in_which_nothing_is_seen_is_judged_by_the_clip(evidence: Evidence) -> None:
    unseen = belief(evidence, ROTATIONS)
    evidence.visibility[7] = 0
    try:
        found = belief(evidence, ROTATIONS)
        garbage = belief(evidence, turned_by_chance(ROTATIONS, 60, 3))
    finally:
        evidence.visibility[7] = evidence.visibility[8]
    np.testing.assert_allclose(found[7], 0.7, atol=1e-6)
    np.testing.assert_allclose(np.delete(found, 7, 0), np.delete(unseen, 7, 0), atol=0.01)
    assert garbage[7].max() < 0.05


def test_the_place_in_the_crop_and_some_of_the_size_are_free(evidence: Evidence) -> None:
    right = belief(evidence, ROTATIONS)
    np.testing.assert_allclose(belief(evidence, ROTATIONS, 1.2 * SCALE), right, atol=1e-5)
    assert belief(evidence, ROTATIONS, 3 * SCALE).mean() < 0.5 * right.mean()
    assert belief(evidence, ROTATIONS, 0 * SCALE).max() == 0
    assert belief(evidence, ROTATIONS, -SCALE).max() == 0


def test_every_joint_has_something_that_speaks_for_it() -> None:
    from fasthmr.encoder.agreement import _BONES

    assert set(_BONES) | {"neck", "head"} == set(JOINT_NAMES)
