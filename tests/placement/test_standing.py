# SPDX-License-Identifier: Apache-2.0
"""Walks whose truth is known, placed: upright, on the floor, without sliding, in the picture."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from fasthmr.body.skeleton import INDEX
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.motion import Motion
from fasthmr.placement import place
from fasthmr.placement.figure import Figure
from fasthmr.placement.planted import planted_soles
from fasthmr.placement.standing import stand
from tests.decoder.landmark_fit.synthetic import BODY, INTRINSICS
from tests.placement.synthetic_walk import Truth, seen, true_walk


def figure_of(motion: Motion) -> Figure:
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(motion.poses).reshape(-1, 24, 3)).double().numpy()
    return Figure(rotations, motion.trans.astype(np.float64), motion.betas)


def sliding_mm(motion: Motion, truth: Truth) -> float:
    """Mean motion of the soles that truly stand, millimetres a frame."""
    both = (truth.contacts[1:] > 0.5) & (truth.contacts[:-1] > 0.5)
    way = np.linalg.norm(np.diff(figure_of(motion).soles(BODY), axis=0), axis=-1)
    return 1e3 * float(way[both].mean())


def in_picture(joints: np.ndarray) -> np.ndarray:
    pixels = joints.astype(np.float64) @ INTRINSICS.T
    return pixels[..., :2] / pixels[..., 2:]


def shares_of_body(joints: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Distance in the picture over the height of the body there, (T, 24)."""
    height = INTRINSICS[0, 0] * 1.7 / true[:, :1, 2]
    return np.linalg.norm(in_picture(joints) - in_picture(true), axis=-1) / height


def placed(estimate: BodyEstimate, evidence: Evidence) -> Motion:
    (motion,) = place([estimate], [evidence], BODY, {})
    assert motion.problems() == []
    return motion


@pytest.fixture(scope="module")
def truth() -> Truth:
    return true_walk()


def test_the_truth_stands(truth: Truth) -> None:
    way = np.linalg.norm(np.diff(truth.figure.soles(BODY), axis=0), axis=-1)
    both = (truth.contacts[1:] > 0.5) & (truth.contacts[:-1] > 0.5)
    assert way[both].max() < 1e-4
    assert np.abs(truth.figure.soles(BODY)[..., 2][truth.contacts > 0.5]).max() < 0.005


def test_a_true_walk_is_left_as_it_is(truth: Truth) -> None:
    estimate, evidence = seen(truth)
    motion = placed(estimate, evidence)
    assert sliding_mm(motion, truth) < 0.6
    assert np.linalg.norm(motion.joints_camera - estimate.joints, axis=-1).mean() < 0.025
    assert shares_of_body(motion.joints_camera, estimate.joints).mean() < 0.004


@pytest.mark.parametrize(("pitch", "roll"), [(0.0, 0.0), (0.35, 0.0), (0.1, 0.15)])
def test_noisy_walks_stand_on_the_floor(truth: Truth, pitch: float, roll: float) -> None:
    noise = {"path_noise": (0.01, 0.02), "pose_noise": 0.03, "up_noise": 0.04}
    estimate, evidence = seen(truth, pitch=pitch, roll=roll, **noise)
    before = placed(replace(estimate, contacts=None), evidence)
    after = placed(estimate, evidence)
    assert sliding_mm(after, truth) < 0.3 * sliding_mm(before, truth)
    heights = figure_of(after).soles(BODY)[..., 2]
    assert np.abs(heights[truth.contacts > 0.5]).mean() < 0.01
    assert heights.min() > -0.03
    _, turns = figure_of(after).joints(BODY)
    lean = np.degrees(np.arccos(turns[:, 0, 2, 1].clip(-1, 1)))
    assert np.median(lean) < 3.5  # the truth stands upright


def test_the_picture_is_kept(truth: Truth) -> None:
    estimate, evidence = seen(truth, pitch=0.2, path_noise=(0.01, 0.02), pose_noise=0.04)
    true, _ = seen(truth, pitch=0.2)
    motion = placed(estimate, evidence)
    before = shares_of_body(estimate.joints, true.joints).mean()
    after = shares_of_body(motion.joints_camera, true.joints).mean()
    assert after < 1.08 * before
    legs = [INDEX[f"{side}_{name}"] for side in ("left", "right") for name in ("knee", "ankle", "foot")]
    rest = [joint for joint in range(24) if joint not in legs]
    moved = shares_of_body(motion.joints_camera, estimate.joints)[:, rest]
    assert moved.mean() < 0.012
    assert moved.max() < 0.05


def test_nothing_pops(truth: Truth) -> None:
    """Accelerations grow by what holding a foot needs, and no frame stands out."""
    estimate, evidence = seen(truth, path_noise=(0.01, 0.02), pose_noise=0.03)
    before = figure_of(placed(replace(estimate, contacts=None), evidence)).joints(BODY)[0]
    after = figure_of(placed(estimate, evidence)).joints(BODY)[0]
    speed_up = [np.linalg.norm(np.diff(joints, 2, axis=0), axis=-1) * 30**2 for joints in (before, after)]
    assert speed_up[1].mean() < 1.15 * speed_up[0].mean()
    assert speed_up[1].max() < 1.3 * speed_up[0].max()


def test_nothing_pops_where_the_person_is_lost(truth: Truth) -> None:
    """Somebody who walks far below the floor is lifted as far as the bounds let: they must not jump."""
    shift = np.array([0.0, 0.0, -1.0])
    sunk = replace(truth.figure, translation=truth.figure.translation + shift)
    count = len(sunk.translation)
    confidence = np.full((count, 24), 0.7)
    confidence[count // 2 : count // 2 + 4] = 0.0
    camera = np.array([0.0, -5.0, 1.5])
    moved = stand(sunk, BODY, truth.contacts, np.arange(count) / 30, camera, confidence)
    correction = moved.translation - sunk.translation
    assert np.linalg.norm(correction, axis=1).min() > 0.1  # it is held by the bounds throughout
    assert np.linalg.norm(np.diff(correction, axis=0), axis=1).max() < 0.03


def test_motion_file_camera_and_body_agree(truth: Truth) -> None:
    estimate, evidence = seen(truth, pitch=0.3, roll=0.1, path_noise=(0.01, 0.02), pose_noise=0.03)
    motion = placed(estimate, evidence)
    joints, _ = figure_of(motion).joints(BODY)
    camera = motion.world_from_camera[0]
    np.testing.assert_allclose(motion.joints_camera @ camera[:3, :3].T + camera[:3, 3], joints, atol=1e-4)
    assert (motion.contacts <= np.asarray(estimate.contacts) + 1e-6).all()
    agree = planted_soles(motion.contacts) == planted_soles(np.asarray(estimate.contacts))
    assert agree.mean() > 0.95  # soles that stand are believed to: noise is no motion
    lens = camera[:3, :3] @ [0, 0, 1]
    assert lens[2] == pytest.approx(-math.sin(0.3), abs=0.05)  # the camera in the file looks down
    assert motion.world_from_camera[0, 2, 3] == pytest.approx(1.5, abs=0.05)  # from where it is


def test_all_people_share_one_up(truth: Truth) -> None:
    one, evidence = seen(truth, pitch=0.3, up_noise=0.05)
    other, other_evidence = seen(true_walk(heading=-0.4, depth=6.0), pitch=0.3, seed=9)
    motions = place([one, replace(other, up=None)], [evidence, other_evidence], BODY, {})
    np.testing.assert_array_equal(motions[0].world_from_camera[0], motions[1].world_from_camera[0])
    for motion in motions:
        _, turns = figure_of(motion).joints(BODY)
        assert np.degrees(np.arccos(turns[:, 0, 2, 1].clip(-1, 1))).max() < 4


def test_a_single_frame_is_placed(truth: Truth) -> None:
    estimate, evidence = seen(true_walk(frames=2))
    assert placed(estimate, evidence).frame_count == 2
