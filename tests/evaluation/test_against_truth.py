# SPDX-License-Identifier: Apache-2.0
"""A recovered person is found beside the truth, and figures are those of the right frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fasthmr.errors import BadInput
from fasthmr.evaluation import metrics
from fasthmr.evaluation.against_truth import TruthFigures, compare, match, mean_of
from fasthmr.motion import Motion
from tests.decoder.landmark_fit.synthetic import BODY
from tests.evaluation.filmed_walk import filmed, recovered

TRUTH = filmed(40)


def cut(motion: Motion, first: int, last: int) -> Motion:
    """Some frames of a motion, the last one not among them."""
    rows = slice(first, last)
    names = ("poses", "trans", "joints_camera", "frame_indices", "timestamps", "confidence", "contacts")
    parts = {name: getattr(motion, name)[rows] for name in (*names, "boxes", "world_from_camera")}
    return replace(motion, **parts)


def test_perfect_recovery_has_no_error() -> None:
    found = compare([recovered(40)], TRUTH, BODY)
    assert found.frames == 40
    assert found.coverage == 100
    # placement relaxes the hands and may hold feet: what is measured in the camera stays small
    for name in ("mpjpe", "pa_mpjpe", "mpjpe_limbs", "pa_mpjpe_limbs"):
        assert getattr(found, name) < 1, name
    assert found.pve < 15
    assert found.accel < 0.2
    assert found.w_mpjpe100 < 15
    assert found.rte < 1
    assert found.jitter_ratio == pytest.approx(1, abs=0.2)
    assert found.jitter_truth == pytest.approx(metrics.jitter(TRUTH.joints_world(BODY)[0], 30), rel=1e-3)


def test_error_of_one_joint_is_that_of_the_metric() -> None:
    motion = recovered(40)
    joints = motion.joints_camera.copy()
    joints[:, 20] += [0.12, 0, 0]
    found = compare([replace(motion, joints_camera=joints)], TRUTH, BODY)
    base = compare([motion], TRUTH, BODY)
    assert found.mpjpe - base.mpjpe == pytest.approx(5, abs=0.5)
    assert found.mpjpe_limbs - base.mpjpe_limbs == pytest.approx(10, abs=0.5)


def test_standing_person_slides_as_far_as_was_put_in() -> None:
    """The recovered pelvis creeps by 2 mm a frame, and the truth stands."""
    truth = filmed(20)
    still = replace(
        truth,
        rotations=np.tile(truth.rotations[:1], (20, 1, 1, 1)),
        pelvis=np.tile(truth.pelvis[:1], (20, 1)),
    )
    motion = recovered(20)
    poses = np.tile(motion.poses[:1], (20, 1))
    trans = motion.trans[:1] + 0.002 * np.arange(20)[:, None] * np.array([1, 0, 0])
    found = compare([replace(motion, poses=poses, trans=trans)], still, BODY)
    assert found.foot_sliding == pytest.approx(2, rel=1e-2)
    assert found.foot_sliding_truth == pytest.approx(0, abs=1e-3)


def test_place_in_the_picture_tells_people_apart() -> None:
    other = recovered(40, shift=(0.0, 0.0, 3.0))  # farther away: smaller in the picture
    aside = recovered(40, shift=(1.5, 0.0, 0.0))
    (part,) = match([aside, other, recovered(40)], TRUTH, BODY)
    np.testing.assert_allclose(part.motion.joints_camera, recovered(40).joints_camera)
    assert match([aside], TRUTH, BODY) == []
    nothing = compare([aside], TRUTH, BODY)
    assert nothing.coverage == 0
    assert nothing.frames == 0
    assert np.isnan(nothing.mpjpe)


def test_person_that_was_lost_and_found_is_put_together() -> None:
    whole = recovered(40)
    parts = [cut(whole, 22, 40), cut(whole, 0, 10)]
    taken = match(parts, TRUTH, BODY)
    assert [part.frames.tolist() for part in taken] == [list(range(10)), list(range(22, 40))]
    found = compare(parts, TRUTH, BODY)
    assert found.frames == 28
    assert found.coverage == pytest.approx(100 * 28 / 40)
    frames = np.r_[0:10, 22:40]
    true = TRUTH.joints(BODY)[0][frames]
    joints = whole.joints_camera[frames].astype(np.float64)
    assert found.accel == pytest.approx(metrics.acceleration_error(joints, true, 30, frames))
    assert found.mpjpe == pytest.approx(metrics.mpjpe(joints, true))


def test_frame_that_two_claim_goes_to_the_longer() -> None:
    whole = recovered(40)
    parts = match([cut(whole, 0, 15), cut(whole, 10, 40)], TRUTH, BODY)
    assert [(part.frames[0], part.frames[-1]) for part in parts] == [(0, 9), (10, 39)]
    assert [len(part.motion.poses) for part in parts] == [15, 30]
    np.testing.assert_array_equal(parts[0].rows, np.arange(10))


def test_frames_without_a_visible_person_do_not_count() -> None:
    visible = np.ones(40, bool)
    visible[30:] = False
    found = compare([recovered(40)], replace(TRUTH, visible=visible), BODY)
    assert found.frames == 30
    assert found.coverage == 100


def test_later_start_is_compared_with_its_own_frames() -> None:
    found = compare([recovered(40, first=12)], TRUTH, BODY)
    assert found.frames == 28
    assert found.mpjpe < 1


def test_clip_of_another_size_is_refused() -> None:
    with pytest.raises(BadInput, match="different clips"):
        compare([recovered(40)], replace(TRUTH, image_size=np.array([640, 360])), BODY)


def test_mean_leaves_out_what_means_nothing() -> None:
    one, two = compare([recovered(40)], TRUTH, BODY), compare([], TRUTH, BODY)
    mean = mean_of([one, two, replace(one, mpjpe=one.mpjpe + 2, rte=float("nan"))])
    assert mean.mpjpe == pytest.approx(one.mpjpe + 1)
    assert mean.rte == one.rte
    assert mean.coverage == pytest.approx(200 / 3)
    assert mean.frames == 80
    assert two.to_json()["mpjpe"] is None
    assert set(two.to_json()) == set(TruthFigures.__dataclass_fields__)
