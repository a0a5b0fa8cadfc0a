# SPDX-License-Identifier: Apache-2.0
"""Posed meshes against posing one frame, and normals against the definition."""

from __future__ import annotations

import numpy as np
import roma
import torch

from fasthmr.preview.figures import Figure, vertex_normals


def test_a_mesh_is_the_body_of_its_own_row_in_any_order(body, make_walk):
    motion = make_walk((64, 64), 40, first=7)
    figure = Figure(motion, body)
    for row in (0, 15, 16, 39, 3):
        rotations = roma.rotvec_to_rotmat(torch.from_numpy(motion.poses[row].reshape(1, 24, 3)))
        expected, joints = body.vertices(
            rotations, torch.from_numpy(motion.betas), torch.from_numpy(motion.trans[row : row + 1])
        )
        np.testing.assert_allclose(figure.mesh(row)[:, :3], expected[0].numpy(), atol=1e-5)
        low, high = figure.bounds()
        np.testing.assert_allclose(low[row], joints[0].numpy().min(axis=0), atol=1e-5)
        np.testing.assert_allclose(high[row], joints[0].numpy().max(axis=0), atol=1e-5)


def test_rows_follow_the_frames_of_the_footage(body, make_walk):
    figure = Figure(make_walk((64, 64), 5, first=7), body)
    assert [figure.row(index) for index in (0, 6, 7, 9, 11, 12)] == [None, None, 0, 2, 4, None]


def test_vertex_normals_are_the_mean_of_the_faces_around():
    rng = np.random.default_rng(0)
    vertices = rng.normal(size=(2, 9, 3))
    faces = rng.permuted(np.tile(np.arange(8), (12, 1)), axis=1)[:, :3]  # vertex 8 has no face
    expected = np.zeros_like(vertices)
    for b in range(2):
        for i, j, k in faces:
            normal = np.cross(vertices[b, j] - vertices[b, i], vertices[b, k] - vertices[b, i])
            for corner in (i, j, k):
                expected[b, corner] += normal
    length = np.linalg.norm(expected, axis=-1, keepdims=True)
    expected = np.divide(expected, length, out=np.zeros_like(expected), where=length > 0)
    found = vertex_normals(torch.from_numpy(vertices), torch.from_numpy(faces)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert (found[:, 8] == 0).all()


def test_normals_of_the_figure_point_outwards(body, make_walk):
    mesh = Figure(make_walk((64, 64), 1), body).mesh(0)
    tubes = mesh.reshape(-1, 20, 6)  # a tube is two rings of ten
    outward = tubes[..., :3] - tubes[..., :3].mean(axis=1, keepdims=True)
    assert (np.einsum("bvi,bvi->bv", outward, tubes[..., 3:]) > 0).all()
