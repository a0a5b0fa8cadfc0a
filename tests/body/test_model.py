# SPDX-License-Identifier: Apache-2.0
"""Shape and pose to joints and vertices: against naive code, with gradients, in both precisions."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch

from fasthmr.body import JOINT_COUNT, PARENTS, BodyModel, load_body, save_body
from fasthmr.errors import BadInput, MissingModel


def random_rotations(seed: int, *batch: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rotvec = torch.randn(*batch, JOINT_COUNT, 3, generator=generator, dtype=dtype)
    return roma.rotvec_to_rotmat(rotvec)


def naive_body(arrays, rotations, betas, translation):
    """One body, joint by joint and vertex by vertex, straight from the SMPL paper."""
    shaped = arrays.v_template.astype(np.float64).copy()
    for k in range(10):
        shaped += arrays.shapedirs[:, :, k] * betas[k]
    rest = np.array([sum(w * v for w, v in zip(row, shaped, strict=True)) for row in arrays.J_regressor])
    if arrays.posedirs is not None:
        features = np.concatenate([(rotations[j] - np.eye(3)).ravel() for j in range(1, JOINT_COUNT)])
        shaped = shaped + arrays.posedirs @ features
    transforms = []
    for j in range(JOINT_COUNT):
        local = np.eye(4)
        local[:3, :3] = rotations[j]
        local[:3, 3] = rest[j] - (rest[PARENTS[j]] if j else 0)
        transforms.append(transforms[PARENTS[j]] @ local if j else local)
    joints = np.array([t[:3, 3] for t in transforms])
    vertices = np.zeros_like(shaped)
    for v, point in enumerate(shaped):
        for j, transform in enumerate(transforms):
            moved = transform[:3, :3] @ (point - rest[j]) + transform[:3, 3]
            vertices[v] += arrays.weights[v, j] * moved
    return vertices + translation, joints + translation, np.array([t[:3, :3] for t in transforms])


@pytest.mark.parametrize("posedirs", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 2e-5)])
def test_equals_naive_skinning(make_arrays, posedirs, dtype, tolerance):
    arrays = make_arrays(seed=3, posedirs=posedirs)
    body = BodyModel(arrays).to(dtype=dtype)
    rotations = random_rotations(0, 5, dtype=dtype)
    betas = torch.randn(5, 10, generator=torch.Generator().manual_seed(1)).to(dtype)
    translation = torch.randn(5, 3, generator=torch.Generator().manual_seed(2)).to(dtype)

    vertices, joints = body(rotations, betas, translation)
    cheap_joints, turns = body.joints(rotations, betas, translation)
    assert vertices.dtype == joints.dtype == cheap_joints.dtype == dtype
    for b in range(5):
        expected = naive_body(arrays, rotations[b].numpy(), betas[b].numpy(), translation[b].numpy())
        np.testing.assert_allclose(vertices[b], expected[0], atol=tolerance * 10)
        np.testing.assert_allclose(joints[b], expected[1], atol=tolerance * 10)
        np.testing.assert_allclose(cheap_joints[b], expected[1], atol=tolerance * 10)
        np.testing.assert_allclose(turns[b], expected[2], atol=tolerance)


def test_gradients(make_arrays):
    body = BodyModel(make_arrays(vertices=6)).to(dtype=torch.float64)
    rotations = random_rotations(4, 2).requires_grad_()
    torch.manual_seed(0)
    betas = torch.randn(2, 10, dtype=torch.float64, requires_grad=True)
    translation = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    # Fast mode: along random directions instead of one call an input.
    assert torch.autograd.gradcheck(body.joints, (rotations, betas, translation), fast_mode=True)
    assert torch.autograd.gradcheck(body.vertices, (rotations, betas, translation), fast_mode=True)


def test_one_shape_for_the_whole_batch(make_arrays):
    body = BodyModel(make_arrays())
    rotations = random_rotations(5, 4, dtype=torch.float32)
    betas = torch.linspace(-2, 2, 10)
    for method in (body.joints, body.vertices):
        for one, many in zip(method(rotations, betas), method(rotations, betas.expand(4, 10)), strict=True):
            torch.testing.assert_close(one, many)


def test_zero_pose_is_the_shaped_template(open_body):
    identity = torch.eye(3).expand(1, JOINT_COUNT, 3, 3)
    betas = torch.tensor([1.0, -2, 0.5, 0, 0, 1, 0, 0, 0, -1])
    vertices, joints = open_body(identity, betas)
    torch.testing.assert_close(
        vertices[0], open_body.v_template + open_body.shapedirs @ betas, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(joints[0], open_body.J_regressor @ vertices[0], atol=1e-5, rtol=0)
    torch.testing.assert_close(joints[0], open_body.rest_joints(betas))


def test_pelvis_is_translation_plus_its_rest_place(open_body):
    rotations = random_rotations(6, 3, dtype=torch.float32)
    betas, translation = torch.randn(3, 10), torch.randn(3, 3)
    joints, turns = open_body.joints(rotations, betas, translation)
    torch.testing.assert_close(joints[:, 0], translation + open_body.rest_joints(betas)[:, 0])
    torch.testing.assert_close(turns[:, 0], rotations[:, 0])


def test_turning_the_pelvis_turns_the_whole_body(open_body):
    rotations = random_rotations(7, 1, dtype=torch.float32)
    turn = random_rotations(8, 1, dtype=torch.float32)[:, 0]
    turned = rotations.clone()
    turned[:, 0] = turn @ rotations[:, 0]
    betas = torch.zeros(10)
    vertices, joints = open_body(rotations, betas)
    turned_vertices, _ = open_body(turned, betas)
    pelvis = joints[:, :1]
    expected = (vertices - pelvis) @ turn.transpose(1, 2) + pelvis
    torch.testing.assert_close(turned_vertices, expected, atol=1e-5, rtol=0)


def test_moving_to_another_type_leaves_the_body_as_it_is(open_body):
    double = open_body.to(dtype=torch.float64)
    assert double.dtype == torch.float64
    assert double.faces.dtype == torch.int64
    assert open_body.dtype == torch.float32
    rotations = random_rotations(9, 2)
    torch.testing.assert_close(
        double.joints(rotations, torch.zeros(10, dtype=torch.float64))[0].float(),
        open_body.joints(rotations.float(), torch.zeros(10))[0],
        atol=1e-5,
        rtol=0,
    )


@pytest.mark.parametrize("posedirs", [True, False])
def test_round_trip(make_arrays, tmp_path, posedirs):
    body = BodyModel(make_arrays(seed=2, posedirs=posedirs))
    path = tmp_path / "body.npz"
    save_body(body, path)
    again = load_body(path)
    assert (again.name, again.licence) == (body.name, body.licence)
    assert len(again.sha256) == 64
    for key in ("faces", "v_template", "shapedirs", "weights", "J_regressor"):
        assert torch.equal(getattr(again, key), getattr(body, key))
    assert (again.posedirs is None) == (not posedirs)
    rotations, betas = random_rotations(1, 2, dtype=torch.float32), torch.ones(10)
    assert torch.equal(again(rotations, betas)[0], body(rotations, betas)[0])


def test_missing_file(tmp_path):
    with pytest.raises(MissingModel, match="no such body file"):
        load_body(tmp_path / "none.npz")


def test_folder(tmp_path):
    with pytest.raises(BadInput, match="folder"):
        load_body(tmp_path)
