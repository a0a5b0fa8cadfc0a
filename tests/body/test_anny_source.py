# SPDX-License-Identifier: Apache-2.0
"""Cutting and closing the source mesh: on meshes small enough to count by hand."""

from __future__ import annotations

from collections import Counter

import numpy as np

from fasthmr.body import anny_source

CUBE = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
CUBE_QUADS = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
CUBE_MIRROR = np.array([4, 5, 6, 7, 0, 1, 2, 3])


def edges(faces):
    return Counter((a, b) for face in faces.tolist() for a, b in zip(face, face[1:] + face[:1], strict=True))


def is_closed(faces):
    counted = edges(faces)
    return max(counted.values()) == 1 and all((b, a) in counted for a, b in counted)


def test_cube_has_no_ring():
    assert is_closed(CUBE_QUADS)
    assert anny_source._boundary_rings(CUBE_QUADS) == []


def test_a_missing_face_leaves_a_ring_that_a_fan_closes():
    for missing in range(6):
        rest = np.delete(CUBE_QUADS, missing, axis=0)
        (ring,) = anny_source._boundary_rings(rest)
        assert sorted(ring) == sorted(CUBE_QUADS[missing])
        triangles, _ = anny_source._triangulate(rest, rest, CUBE, CUBE_MIRROR)
        assert is_closed(np.concatenate([triangles, anny_source._fan(ring, 8)]))


def test_two_missing_faces_leave_two_rings():
    rings = anny_source._boundary_rings(CUBE_QUADS[:4])
    assert sorted(sorted(ring.tolist()) for ring in rings) == [[0, 2, 4, 6], [1, 3, 5, 7]]


def test_triangles_are_symmetric_even_where_diagonals_are_equal():
    triangles, _ = anny_source._triangulate(CUBE_QUADS, CUBE_QUADS, CUBE, CUBE_MIRROR)
    assert len(triangles) == 12
    assert is_closed(triangles)
    sides = {
        frozenset(face)
        for face in triangles.tolist()
        if set(face) <= {0, 1, 2, 3} or set(face) <= {4, 5, 6, 7}
    }
    assert {frozenset(CUBE_MIRROR[list(face)].tolist()) for face in sides} == sides


def test_quads_are_split_along_the_shorter_diagonal():
    kite = np.array([[0.0, 0, 0], [1, 2, 0], [0, 4, 0], [-1, 2, 0]])
    quads, uv = np.array([[0, 1, 2, 3]]), np.array([[10, 11, 12, 13]])
    triangles, triangles_uv = anny_source._triangulate(quads, uv, kite, np.array([0, 3, 2, 1]))
    assert all({1, 3} <= set(face) for face in triangles.tolist())
    np.testing.assert_array_equal(triangles_uv, triangles + 10)


def test_symmetrise_is_exact():
    points = np.random.default_rng(0).normal(size=(3, 8, 3))
    symmetric = anny_source._symmetrise(points, CUBE_MIRROR)
    np.testing.assert_array_equal(symmetric[:, CUBE_MIRROR] * (-1.0, 1.0, 1.0), symmetric)


def test_compact_keeps_the_triangles():
    used, faces = anny_source._compact(np.array([[7, 3, 9], [3, 7, 12]]))
    np.testing.assert_array_equal(used[faces], [[7, 3, 9], [3, 7, 12]])
    assert faces.max() == 3


def test_names_of_the_other_side():
    assert anny_source._other_side("foot.L") == "foot.R"
    assert anny_source._other_side("foot.R") == "foot.L"
    assert anny_source._other_side("spine01") == "spine01"
