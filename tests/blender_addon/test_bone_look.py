# SPDX-License-Identifier: GPL-3.0-or-later
"""bone_look.py: shapes, colours and collections of the bones; and that nothing moves for them."""

import json

import bpy
import numpy as np
import pytest
from recover_motion.body_file import read_body_file
from recover_motion.bone_look import PALETTES, SHAPE_KEY, collection_of, side_of
from recover_motion.rest_figure import RestFigure
from recover_motion.rig import build_armature
from smpl_reference import NAMES

pytestmark = pytest.mark.bpy


@pytest.fixture
def figure(synthetic_body_path) -> RestFigure:
    return RestFigure.of(read_body_file(synthetic_body_path), np.zeros(10))


@pytest.fixture
def armature(scene, figure) -> bpy.types.Object:
    return build_armature(bpy.context, "rig", figure, scene.collection)


def shapes() -> list[bpy.types.Object]:
    return [thing for thing in bpy.data.objects if SHAPE_KEY in thing]


def drawn(bone: bpy.types.PoseBone) -> np.ndarray:
    """Points of a bone's shape in its own axes, from its head, in metres, as Blender draws it."""
    points = np.array([vertex.co for vertex in bone.custom_shape.data.vertices])
    assert bone.use_custom_shape_bone_size
    scale = np.array(bone.custom_shape_scale_xyz) * bone.bone.length
    return points * scale + np.array(bone.custom_shape_translation)


def test_every_bone_is_in_one_collection(armature):
    collections = armature.data.collections
    assert [one.name for one in collections] == ["Spine", "Left Arm", "Right Arm", "Left Leg", "Right Leg"]
    assert {one.name: len(one.bones) for one in collections} == {
        "Spine": 6,
        "Left Arm": 5,
        "Right Arm": 5,
        "Left Leg": 4,
        "Right Leg": 4,
    }
    assert sorted(bone.name for one in collections for bone in one.bones) == sorted(NAMES)
    assert {bone.name for bone in collections["Left Leg"].bones} == {
        "left_hip",
        "left_knee",
        "left_ankle",
        "left_foot",
    }
    assert collection_of("right_collar") == "Right Arm"
    assert all(one.is_visible for one in collections)


def test_sides_have_colours(armature):
    for bone in armature.data.bones:
        assert bone.color.palette == PALETTES[side_of(bone.name)]
    assert len(set(PALETTES.values())) == 3


def test_shapes_are_shared_and_hidden(scene, figure):
    armatures = [build_armature(bpy.context, f"rig{i}", figure, scene.collection) for i in range(3)]
    assert len(shapes()) == 3
    used = {bone.custom_shape for thing in armatures for bone in thing.pose.bones}
    assert used == set(shapes())
    for shape in shapes():
        assert len(shape.data.polygons) == 0
        assert len(shape.data.edges) > 0
        points = np.array([vertex.co for vertex in shape.data.vertices])
        assert np.abs(points).max() == pytest.approx(1)
        assert shape.name not in bpy.context.view_layer.objects  # exporters write those
    (collection,) = [one for one in bpy.data.collections if SHAPE_KEY in one]
    assert collection.hide_render
    assert collection.hide_viewport
    assert len(scene.collection.children) == 0
    assert collection.use_fake_user


def test_shapes_can_be_drawn_though_no_scene_has_them(armature):
    posed = armature.evaluated_get(bpy.context.evaluated_depsgraph_get())
    for bone in posed.pose.bones:
        assert bone.custom_shape.is_evaluated  # what is drawn is the depsgraph's
        assert bone.custom_shape.original in shapes()
        assert len(bone.custom_shape.data.edges) > 0


def test_a_saved_file_has_its_shapes(armature, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert len(shapes()) == 3
    assert all(SHAPE_KEY in bone.custom_shape for bone in bpy.data.objects["rig"].pose.bones)
    assert [one.name for one in bpy.data.collections if SHAPE_KEY in one] == ["Recover Motion Bone Shapes"]


def test_shapes_are_not_exported(armature, tmp_path):
    import addon_utils  # there once bpy is

    addon_utils.enable("io_scene_gltf2")
    bpy.ops.export_scene.gltf(filepath=str(tmp_path / "rig.gltf"), export_format="GLTF_SEPARATE")
    nodes = json.loads((tmp_path / "rig.gltf").read_text())["nodes"]
    assert {node["name"] for node in nodes} == {"rig", *NAMES}


def test_shapes_that_were_renamed_or_deleted(scene, figure, armature):
    for shape in shapes():
        shape.name = "mine"
    bpy.data.objects.remove(shapes()[0])
    again = build_armature(bpy.context, "again", figure, scene.collection)
    assert len(shapes()) == 3
    assert all(bone.custom_shape for bone in again.pose.bones)
    assert len([one for one in bpy.data.collections if SHAPE_KEY in one]) == 1


def test_boxes_hold_the_skin_and_rings_go_round_it(armature, figure):
    skinned_by = figure.body.weights.argmax(axis=1)
    for bone in armature.pose.bones:
        corners = drawn(bone)
        skin = figure.vertices[skinned_by == NAMES.index(bone.name)]
        axes = np.array(bone.bone.matrix_local.to_3x3())
        points = (skin - np.array(bone.bone.head_local)) @ axes
        if bone.name in ("pelvis", "left_hand", "right_foot"):
            assert (corners.min(axis=0) <= points.min(axis=0) + 1e-5).all()
            assert (corners.max(axis=0) >= points.max(axis=0) - 1e-5).all()
        elif bone.name in ("left_elbow", "spine2", "right_knee"):
            np.testing.assert_allclose(corners[:, 1], bone.bone.length / 2, atol=1e-5)
            assert (np.ptp(corners, axis=0)[[0, 2]] >= 0.0999 * bone.bone.length).all()


def test_deformation_and_pose_are_the_same_without_the_look(scene, figure, armature):
    plain = build_armature(bpy.context, "plain", figure, scene.collection)
    for bone in plain.pose.bones:
        bone.custom_shape = None
    random = np.random.default_rng(3)
    for name in NAMES:
        turn = random.normal(size=4)
        for thing in (armature, plain):
            thing.pose.bones[name].rotation_quaternion = turn / np.linalg.norm(turn)
    bpy.context.view_layer.update()
    for name in NAMES:
        one, other = (np.array(thing.pose.bones[name].matrix) for thing in (armature, plain))
        np.testing.assert_array_equal(one, other)
    assert all(bone.use_deform for bone in armature.data.bones)
