# SPDX-License-Identifier: Apache-2.0
"""An encoder's estimate beside the landmarks: frames, axes, shapes, gaps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roma
import torch

from fasthmr.body import BodyModel
from fasthmr.body.skeleton import INDEX
from fasthmr.decoder.landmark_fit import FitSettings, fit_landmarks
from fasthmr.encoder.as_evidence import add_encoding
from fasthmr.errors import BadInput
from fasthmr.evidence import Evidence
from tests.decoder.landmark_fit.synthetic import BODY, acting, evidence_of, hide
from tests.encoder.synthetic_encoder import encode

FRAMES = 40
FIRST = 100  # the clip's number of the evidence's first frame
ROTATIONS, PELVIS = acting(FRAMES)


@pytest.fixture(scope="module")
def scene() -> tuple[Evidence, np.ndarray]:
    evidence, truth = evidence_of(ROTATIONS, PELVIS, torch.zeros(10), pixel_noise=3, world_noise=0.03)
    return replace(evidence, frame_indices=np.arange(FIRST, FIRST + FRAMES)), truth


def angles(first: np.ndarray, second: torch.Tensor) -> np.ndarray:
    return roma.rotmat_geodesic_distance(torch.from_numpy(first), second).rad2deg().numpy()


@pytest.mark.parametrize("kind", ["hmr2", "open", "camerahmr"])
def test_every_kind_ends_in_the_axes_of_the_whole_pictures_camera(
    kind: str, scene: tuple[Evidence, np.ndarray]
) -> None:
    evidence, truth = scene
    encoding = encode(evidence, ROTATIONS, PELVIS, kind, degrees=0)
    encoding.betas[:] = 0
    full = add_encoding(evidence, encoding, BODY)
    assert full.rotations is not None
    assert full.joints is not None
    assert full.joint_confidence is not None
    assert angles(full.rotations, ROTATIONS).max() < 0.1
    # the person walks from one edge to the other: turning to the line of sight is no small thing
    assert (
        angles(encode(evidence, ROTATIONS, PELVIS, "hmr2", degrees=0).rotmat[:, :1], ROTATIONS[:, :1]).max()
        > 10
    )
    np.testing.assert_allclose(full.joints, truth - truth[:, :1], atol=2e-3)
    assert full.joint_confidence.mean() > 0.8
    assert (full.rotations.dtype, full.joints.dtype, full.joint_confidence.dtype) == 3 * (np.float32,)
    np.testing.assert_array_equal(full.landmarks_image, evidence.landmarks_image)
    np.testing.assert_array_equal(full.token, encoding.token)


def test_gaps_are_bridged_by_the_shortest_turn_and_not_believed(scene: tuple[Evidence, np.ndarray]) -> None:
    evidence, _ = scene
    gap = np.arange(10, 17)
    known = np.setdiff1d(np.arange(FRAMES), gap)
    encoding = encode(evidence, ROTATIONS, PELVIS, "camerahmr", frames=known)
    full = add_encoding(evidence, encoding, BODY)
    assert full.rotations is not None
    assert full.joint_confidence is not None
    assert full.token is not None
    np.testing.assert_allclose(full.rotations[known], encoding.rotmat, atol=1e-6)
    np.testing.assert_array_equal(full.joint_confidence[gap], 0)
    assert full.joint_confidence[known].min() > 0
    start, end = (torch.from_numpy(full.rotations[row]) for row in (9, 17))
    for row in gap:
        share = (row - 9) / 8
        expected = roma.rotmat_slerp(start, end, torch.tensor(share))
        np.testing.assert_allclose(full.rotations[row], expected.numpy(), atol=1e-4)
    share = (12 - 9) / 8
    expected_token = (1 - share) * encoding.token[9] + share * encoding.token[10]
    np.testing.assert_allclose(full.token[12], expected_token, atol=1e-5)


def test_both_ends_are_held(scene: tuple[Evidence, np.ndarray]) -> None:
    evidence, _ = scene
    for frames in (np.arange(3, 30), np.array([20])):
        encoding = encode(evidence, ROTATIONS, PELVIS, "camerahmr", frames=frames)
        full = add_encoding(evidence, encoding, BODY)
        assert full.rotations is not None
        np.testing.assert_array_equal(full.rotations[0], encoding.rotmat[0])
        np.testing.assert_array_equal(full.rotations[-1], encoding.rotmat[-1])


def test_answers_that_are_no_numbers_are_gaps(scene: tuple[Evidence, np.ndarray]) -> None:
    evidence, _ = scene
    encoding = encode(evidence, ROTATIONS, PELVIS)
    encoding.rotmat[5, 3, 1, 1] = np.nan
    encoding.camera[6, 0] = np.inf
    full = add_encoding(evidence, encoding, BODY)
    assert full.rotations is not None
    assert full.joint_confidence is not None
    assert np.isfinite(full.rotations).all()
    np.testing.assert_array_equal(full.joint_confidence[5:7], 0)
    assert full.joint_confidence[[4, 7]].min() > 0
    encoding.token[:] = np.nan
    with pytest.raises(BadInput, match="precision fp32"):
        add_encoding(evidence, encoding, BODY)


def test_frames_of_somebody_else_are_a_mistake(scene: tuple[Evidence, np.ndarray]) -> None:
    evidence, _ = scene
    encoding = encode(evidence, ROTATIONS, PELVIS)
    for wrong in (encoding.frame_indices - FIRST, encoding.frame_indices + 1):
        with pytest.raises(ValueError, match="frames"):
            add_encoding(evidence, replace(encoding, frame_indices=wrong), BODY)


class _Named:
    """The open body under another name and with as many vertices as asked for."""

    def __init__(self, name: str, vertices: int) -> None:
        self.name = name
        self.v_template = torch.zeros(vertices, 3)

    def to(self, *arguments: object) -> BodyModel:
        return BODY


@pytest.mark.parametrize(
    ("kind", "body", "vertices", "fits"),
    [
        ("hmr2", "SMPL_NEUTRAL", 6890, True),
        ("camerahmr", "basicModel_neutral_lbs_10_207_0_v1.0.0", 6890, True),
        ("hmr2", "open", 12411, False),
        ("hmr2", "SMPL_FEMALE", 6890, False),
        ("hmr2", "basicmodel_m_lbs_10_207_0_v1.1.0", 6890, False),
        ("open", "open", 12411, True),
        ("open", "SMPL_NEUTRAL", 6890, False),
    ],
)
def test_shape_is_handed_on_where_it_is_the_bodys(
    kind: str, body: str, vertices: int, fits: bool, scene: tuple[Evidence, np.ndarray]
) -> None:
    encoding = encode(scene[0], ROTATIONS, PELVIS, kind)
    full = add_encoding(scene[0], encoding, _Named(body, vertices))  # type: ignore[arg-type]
    assert (full.betas is not None) == fits
    if full.betas is not None:
        np.testing.assert_allclose(full.betas, encoding.betas, atol=1e-6)


def test_the_fit_is_better_for_it_and_unharmed_by_garbage(scene: tuple[Evidence, np.ndarray]) -> None:
    evidence, truth = scene
    world = evidence.landmarks_world.copy()
    world[..., 2] += np.random.default_rng(5).normal(0, 0.08, 33)  # a detector knows little of depth
    evidence = hide(replace(evidence, landmarks_world=world), ("left_elbow", "left_wrist", "left_index"))
    settings = FitSettings(shape_steps=60, motion_steps=80, shape_frames=30)
    wrists = [INDEX["left_wrist"], INDEX["right_wrist"]]

    def fitted(what: Evidence) -> tuple[float, float]:
        """Millimetres a joint, and degrees a wrist."""
        estimate = fit_landmarks(what, BODY, settings=settings)
        error = (estimate.joints - estimate.joints[:, :1]) - (truth - truth[:, :1])
        turned = angles(estimate.rotations[:, wrists], ROTATIONS[:, wrists])
        return 1e3 * float(np.linalg.norm(error, axis=-1).mean()), float(turned.mean())

    alone = fitted(evidence)
    helped = fitted(add_encoding(evidence, encode(evidence, ROTATIONS, PELVIS, degrees=5), BODY))
    garbage = fitted(add_encoding(evidence, encode(evidence, ROTATIONS, PELVIS, degrees=120), BODY))
    assert helped[0] < 0.8 * alone[0]
    assert helped[1] < 0.6 * alone[1]
    assert garbage[0] < alone[0] + 2
