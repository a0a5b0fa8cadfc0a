# SPDX-License-Identifier: GPL-3.0-or-later
"""mesh.py: the skinned body against its file. (How it moves is tested in test_import_motion.)"""

import bpy
import numpy as np
import pytest
from recover_motion.body_file import read_body_file
from recover_motion.mesh import build_mesh
from recover_motion.rest_figure import RestFigure
from recover_motion.rig import build_armature
from smpl_reference import NAMES, BodyArrays

pytestmark = pytest.mark.bpy

BETAS = np.array([0.5, -3.0, 0, 7.2, 1, -1, 0.1, 0.2, -9.9, 2])


@pytest.fixture
def figure(body: BodyArrays) -> RestFigure:
    return RestFigure.of(read_body_file(body.path), BETAS)


@pytest.fixture
def thing(scene, figure) -> bpy.types.Object:
    armature = build_armature(bpy.context, "rig", figure, scene.collection)
    return build_mesh("skin", figure, armature, scene.collection)


def coordinates(points: bpy.types.bpy_prop_collection) -> np.ndarray:
    flat = np.empty(len(points) * 3, np.float32)
    points.foreach_get("co", flat)
    return flat.reshape(-1, 3)


def test_faces_texture_and_shading(thing, body):
    mesh = thing.data
    faces = np.array([polygon.vertices for polygon in mesh.polygons])
    np.testing.assert_array_equal(faces, body.f)
    uvs = np.array([corner.vector for corner in mesh.uv_layers[0].uv])
    np.testing.assert_allclose(uvs, body.vt[body.ft].reshape(-1, 2), atol=1e-6)
    assert all(polygon.use_smooth for polygon in mesh.polygons)
    assert len(mesh.materials) == 1
    assert not mesh.validate()


def test_shape_keys(thing, body):
    keys = thing.data.shape_keys.key_blocks
    assert [key.name for key in keys] == ["Basis", *(f"Shape{i:03d}" for i in range(10))]
    np.testing.assert_allclose([key.value for key in keys[1:]], BETAS, atol=1e-6)
    for key, beta in zip(keys[1:], BETAS, strict=True):
        assert key.slider_max == -key.slider_min >= max(5, abs(beta))
    basis = coordinates(keys[0].data)
    for i in (0, 9):
        x, y, z = np.moveaxis(body.shapedirs[:, :, i], -1, 0)
        np.testing.assert_allclose(
            coordinates(keys[i + 1].data) - basis, np.stack([x, -z, y], axis=1), atol=1e-5
        )


def test_the_shaped_body_stands_on_the_floor(thing):
    depsgraph = bpy.context.evaluated_depsgraph_get()
    heights = coordinates(thing.evaluated_get(depsgraph).data.vertices)[:, 2]
    assert abs(heights.min()) < 1e-4


def test_weights(thing, body):
    assert [group.name for group in thing.vertex_groups] == NAMES
    stored = np.zeros_like(body.weights)
    for vertex in thing.data.vertices:
        for group in vertex.groups:
            stored[vertex.index, group.group] = group.weight
    np.testing.assert_allclose(stored, body.weights, atol=2e-5)


def test_rigged(thing):
    modifier = thing.modifiers[0]
    assert modifier.type == "ARMATURE"
    assert modifier.object == thing.parent
    assert not modifier.use_deform_preserve_volume


def test_people_have_colours_of_their_own(scene, figure):
    armature = build_armature(bpy.context, "rig", figure, scene.collection)
    two = [build_mesh(f"skin{i}", figure, armature, scene.collection, i).data.materials[0] for i in range(2)]
    assert tuple(two[0].diffuse_color) != tuple(two[1].diffuse_color)
    for material in two:
        shader = next(node for node in material.node_tree.nodes if node.type == "BSDF_PRINCIPLED")
        np.testing.assert_allclose(shader.inputs["Base Color"].default_value, material.diffuse_color)
