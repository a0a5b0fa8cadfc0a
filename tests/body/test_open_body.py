# SPDX-License-Identifier: Apache-2.0
"""The open body: T-pose, units, symmetry, a closed surface, joints inside, whatever the shape."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.spatial import KDTree

from fasthmr.body import INDEX, LANDMARK_JOINTS, MIRROR
from fasthmr.body.model import OPEN_BODY_PATH

FLIP = np.array([-1.0, 1.0, 1.0])


@pytest.fixture(scope="module")
def mirror(open_body):
    """Each vertex's mirror image: exactly there, to the last bit."""
    template = open_body.arrays.v_template
    distance, index = KDTree(template).query(template * FLIP)
    assert np.max(distance) == 0.0
    return np.asarray(index)


@pytest.fixture(scope="module")
def shapes():
    """The mean shape and random ones."""
    betas = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    return torch.cat([torch.zeros(1, 10), betas])


@pytest.fixture(scope="module")
def joints(open_body, shapes):
    """Rest joints (21,24,3) of those shapes, by name."""
    rest = open_body.rest_joints(shapes).numpy()
    return {name: rest[:, index] for name, index in INDEX.items()}


def test_file_is_small_and_free(open_body):
    assert OPEN_BODY_PATH.stat().st_size < 2_000_000
    assert open_body.name == "open"
    assert "CC0-1.0" in open_body.licence
    assert 6_000 <= len(open_body.v_template) <= 14_000
    assert open_body.arrays.vt is not None


def test_stands_on_the_floor_in_metres(open_body, shapes):
    vertices = open_body.rest_vertices(shapes)
    assert abs(float(vertices[0, :, 1].min())) < 1e-6
    assert 1.6 < float(vertices[0, :, 1].max()) < 1.8
    assert vertices[:, :, 1].amin(dim=1).abs().max() < 0.01


def test_mirrored_exactly(open_body, mirror):
    arrays = open_body.arrays
    np.testing.assert_array_equal(mirror[mirror], np.arange(len(mirror)))
    np.testing.assert_array_equal(arrays.weights[mirror][:, MIRROR], arrays.weights)
    np.testing.assert_array_equal(arrays.shapedirs[mirror] * FLIP[:, None], arrays.shapedirs)
    np.testing.assert_allclose(arrays.J_regressor[list(MIRROR)][:, mirror], arrays.J_regressor, atol=1e-7)
    faces = {frozenset(face) for face in arrays.f.tolist()}
    assert {frozenset(face) for face in mirror[arrays.f].tolist()} == faces


def test_closed_surface_of_one_piece(open_body):
    edges = Counter(
        (a, b)
        for face in open_body.arrays.f.tolist()
        for a, b in zip(face, (*face[1:], face[0]), strict=True)
    )
    assert max(edges.values()) == 1
    assert all((b, a) in edges for a, b in edges)
    # A sphere: no hole, no handle, no eyeballs or teeth inside.
    assert len(open_body.v_template) - len(edges) // 2 + len(open_body.arrays.f) == 2


def test_faces_look_outwards(open_body):
    corners = open_body.arrays.v_template[open_body.arrays.f].astype(np.float64)
    volume = np.linalg.det(corners).sum() / 6
    assert 0.05 < volume < 0.09  # a person of 50 to 90 kg


def test_weights(open_body):
    weights = open_body.arrays.weights
    assert weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)
    assert (weights > 0).sum(axis=1).max() <= 4
    assert np.all(weights.max(axis=0) > 0.4)  # every joint has skin that mostly follows it


def test_regressor(open_body):
    regressor = open_body.arrays.J_regressor
    assert regressor.min() >= 0
    np.testing.assert_allclose(regressor.sum(axis=1), 1.0, atol=1e-6)
    assert (regressor > 0).sum(axis=1).max() < 1500


def test_arms_are_level_and_straight(joints):
    for side, sign in (("left", 1), ("right", -1)):
        arm = np.stack([joints[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist", "hand")], axis=1)
        assert np.all(np.diff(sign * arm[..., 0], axis=1) > 0.05)
        assert np.ptp(arm[0, :, 1:], axis=0).max() < 0.002
        assert np.ptp(arm[..., 1:], axis=1).max() < 0.010


def test_legs_are_upright_and_straight(joints):
    for side, sign in (("left", 1), ("right", -1)):
        leg = np.stack([joints[f"{side}_{name}"] for name in ("ankle", "knee", "hip")], axis=1)
        assert np.all(np.diff(leg[..., 1], axis=1) > 0.25)
        assert np.all(sign * leg[..., 0] > 0.05)
        assert np.ptp(leg[0][:, [0, 2]], axis=0).max() < 0.002
        assert np.ptp(leg[..., [0, 2]], axis=1).max() < 0.010


def test_feet_point_forward(joints):
    for side in ("left", "right"):
        foot = joints[f"{side}_foot"] - joints[f"{side}_ankle"]
        assert np.all(foot[:, 2] > 0.09)
        assert np.abs(foot[:, 0]).max() < 0.01
        assert np.all(foot[:, 1] < 0)


def test_joints_of_the_middle(joints):
    names = ("pelvis", "spine1", "spine2", "spine3", "neck", "head")
    spine = np.stack([joints[name] for name in names], axis=1)
    assert np.abs(spine[..., 0]).max() < 1e-5
    assert np.all(np.diff(spine[..., 1], axis=1) > 0.03)
    hips = (joints["left_hip"] + joints["right_hip"]) / 2
    assert np.all(joints["pelvis"][:, 1] > hips[:, 1] + 0.04)


def test_limb_lengths_are_human(open_body, joints):
    """Shares of the body height; the ranges hold the tables of de Leva (1996) and Drillis and Contini."""
    height = float(open_body.v_template[:, 1].max())
    shares = {
        ("left_shoulder", "left_elbow"): (0.14, 0.19),
        ("left_elbow", "left_wrist"): (0.13, 0.16),
        ("left_hip", "left_knee"): (0.21, 0.26),
        ("left_knee", "left_ankle"): (0.23, 0.27),
        ("left_hip", "right_hip"): (0.08, 0.13),
        ("left_shoulder", "right_shoulder"): (0.17, 0.24),
        ("pelvis", "neck"): (0.25, 0.32),
    }
    for (upper, lower), (low, high) in shares.items():
        share = np.linalg.norm(joints[upper][0] - joints[lower][0]) / height
        assert low < share < high, (upper, lower, share)


def winding_numbers(points, corners):
    """How often a closed surface (F,3,3) goes around a point: 1 inside, 0 outside (Oosterom, Strackee)."""
    numbers = []
    for point in points:
        a, b, c = np.moveaxis(corners - point, 1, 0)
        la, lb, lc = (np.linalg.norm(x, axis=1) for x in (a, b, c))
        triple = (a * np.cross(b, c)).sum(axis=1)
        rest = la * lb * lc + (a * b).sum(1) * lc + (b * c).sum(1) * la + (c * a).sum(1) * lb
        numbers.append(2 * np.arctan2(triple, rest).sum() / (4 * np.pi))
    return np.array(numbers)


def test_joints_are_inside_whatever_the_shape(open_body, shapes):
    vertices = open_body.rest_vertices(shapes[:6]).double().numpy()
    rest = open_body.rest_joints(shapes[:6]).double().numpy()
    for body, skeleton in zip(vertices, rest, strict=True):
        np.testing.assert_allclose(winding_numbers(skeleton, body[open_body.arrays.f]), 1.0, atol=1e-3)


def test_shape_components_have_the_spread_of_people(open_body):
    """The first is the height; a unit of it is a standard deviation, some ten centimetres."""
    template, shapedirs = open_body.v_template, open_body.shapedirs
    grown = (template[:, 1, None] + shapedirs[:, 1]).amax(dim=0) - template[:, 1].max()
    assert 0.07 < float(grown[0]) < 0.13
    assert grown[1:].abs().max() < 0.03
    sizes = shapedirs.norm(dim=1).square().mean(dim=0)
    assert torch.all(sizes[:-1] > sizes[1:])


def test_landmarks_lie_where_their_names_say(open_body):
    vertices = open_body.arrays.landmark_vertices
    assert vertices is not None
    assert {index for index in range(33) if vertices[index] < 0} == set(LANDMARK_JOINTS)
    at = open_body.v_template[vertices.astype(np.int64)].numpy().astype(np.float64)
    rest = dict(zip(INDEX, open_body.rest_joints(torch.zeros(10)).numpy(), strict=True))
    for left, right in (
        (1, 4),
        (2, 5),
        (3, 6),
        (7, 8),
        (9, 10),
        (17, 18),
        (19, 20),
        (21, 22),
        (29, 30),
        (31, 32),
    ):
        assert at[left, 0] > 0.01
        np.testing.assert_array_equal(at[left] * FLIP, at[right])
    nose, inner, eye, outer, ear, mouth = at[0], at[1], at[2], at[3], at[7], at[9]
    assert nose[0] == 0
    assert nose[2] > eye[2] > ear[2]
    assert eye[1] > ear[1] > mouth[1]
    assert inner[0] < eye[0] < outer[0] < ear[0]
    # Palms down: the thumb is in front of the forefinger, the little finger behind.
    assert at[21, 2] > at[19, 2] > at[17, 2]
    assert np.linalg.norm(at[[17, 19, 21]] - rest["left_hand"], axis=1).max() < 0.09
    assert at[29, 2] < rest["left_ankle"][2] < rest["left_foot"][2] < at[31, 2]
    assert at[[29, 31], 1].max() < 0.05
