# SPDX-License-Identifier: GPL-3.0-or-later
"""rig.py and edit_mode.py: bones an artist can use, made without disturbing the user."""

import bpy
import numpy as np
import pytest
from recover_motion.body_file import read_body_file
from recover_motion.edit_mode import edit_mode
from recover_motion.rest_figure import RestFigure
from recover_motion.rig import bone_tails, build_armature, rest_quats
from recover_motion.rotations import matrix_from_quat
from smpl_reference import NAMES, PARENTS, BodyArrays, sphere_body

pytestmark = pytest.mark.bpy

BETAS = np.random.default_rng(1).normal(size=10)


@pytest.fixture
def figure(body: BodyArrays) -> RestFigure:
    return RestFigure.of(read_body_file(body.path), BETAS)


@pytest.fixture
def armature(scene, figure) -> bpy.types.Object:
    return build_armature(bpy.context, "rig", figure, scene.collection)


def frames(armature: bpy.types.Object) -> np.ndarray:
    """Axes of the bones (24, 3, 3) in SMPL's order; Blender lists children right after their parents."""
    return np.array([armature.data.bones[name].matrix_local.to_3x3() for name in NAMES])


def direction(bone: bpy.types.Bone) -> np.ndarray:
    """Unit vector from head to tail in the armature."""
    return np.array((bone.tail_local - bone.head_local).normalized())


def test_bones_are_smpls_joints(armature, figure, body):
    assert {bone.name for bone in armature.data.bones} == set(NAMES)
    bones = [armature.data.bones[name] for name in NAMES]
    assert [NAMES.index(bone.parent.name) if bone.parent else -1 for bone in bones] == PARENTS
    heads = np.array([bone.head_local for bone in bones])
    rest = body.rest_joints(BETAS)
    shaped = body.v_template + body.shapedirs.astype(float) @ BETAS
    standing = np.stack([rest[:, 0], -rest[:, 2], rest[:, 1] - shaped[:, 1].min()], axis=1)
    np.testing.assert_allclose(heads, standing, atol=1e-5)
    assert armature.matrix_world == armature.matrix_world.Identity(4)


def test_the_figure_stands_on_the_floor(figure):
    assert abs(figure.vertices[:, 2].min()) < 1e-9
    assert figure.joints[15, 2] > figure.joints[0, 2] > figure.joints[4, 2] > figure.joints[7, 2]


def test_bones_point_at_their_children(armature):
    bones = armature.data.bones
    for name, child in [
        ("pelvis", "spine1"),
        ("spine3", "neck"),
        ("left_hip", "left_knee"),
        ("neck", "head"),
    ]:
        np.testing.assert_allclose(bones[name].tail_local, bones[child].head_local, atol=1e-5)
        assert bones[child].use_connect
    assert not bones["left_hip"].use_connect
    assert not bones["right_collar"].use_connect


def test_leaves_reach_to_the_end_of_the_skin(armature, figure, body):
    for name in ("head", "left_foot", "right_hand"):
        joint, bone = NAMES.index(name), armature.data.bones[name]
        skin = figure.vertices[body.weights.argmax(axis=1) == joint]
        furthest = ((skin - figure.joints[joint]) @ direction(bone)).max()
        assert bone.length == pytest.approx(furthest, abs=1e-5)
    assert direction(armature.data.bones["head"])[2] > 0.999
    assert direction(armature.data.bones["left_foot"])[1] < -0.999


def test_every_bone_has_length(armature):
    assert min(bone.length for bone in armature.data.bones) >= 0.0099


def test_joints_on_one_spot_still_make_bones(scene, tmp_path):
    body = sphere_body(seed=5)
    body.J_regressor[20] = body.J_regressor[18]  # the wrist in the elbow
    body.J_regressor[22] = body.J_regressor[18]  # and the hand as well
    body.weights[:, 21], body.weights[:, 23] = body.weights[:, 21] + body.weights[:, 23], 0  # no skin
    body.save(tmp_path / "body.npz")
    figure = RestFigure.of(read_body_file(tmp_path / "body.npz"), np.zeros(10))
    armature = build_armature(bpy.context, "rig", figure, scene.collection)
    assert len(armature.data.bones) == 24
    assert (np.linalg.norm(bone_tails(figure) - figure.joints, axis=1) > 0.009).all()


def test_axes_of_the_two_sides_mirror_each_other(scene, tmp_path):
    """With a symmetric body, flipping x turns each bone's frame into the other side's."""
    body = sphere_body(seed=5)
    body.J_regressor[:] = 0
    for joint in range(24):
        body.J_regressor[joint, joint * 6 : joint * 6 + 6] = 1 / 6
    rest = np.array([body.v_template[joint * 6 : joint * 6 + 6].mean(axis=0) for joint in range(24)])
    mirrored = [NAMES.index(bpy.utils.flip_name(name)) for name in NAMES]
    assert sum(index != joint for joint, index in enumerate(mirrored)) == 18
    symmetric = (rest + rest[mirrored] * (-1, 1, 1)) / 2
    corners = 0.05 * np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
    body.v_template = (symmetric[:, None] + corners).reshape(-1, 3).astype(np.float32)
    body.save(tmp_path / "body.npz")
    figure = RestFigure.of(read_body_file(tmp_path / "body.npz"), np.zeros(10))
    armature = build_armature(bpy.context, "rig", figure, scene.collection)
    axes = frames(armature)
    # y and z mirror; x turns round, as it must for the frame to stay right-handed
    np.testing.assert_allclose(np.diag([-1, 1, 1]) @ axes[mirrored] @ np.diag([-1, 1, 1]), axes, atol=1e-4)


def test_knees_and_elbows_bend_about_the_local_x_axis(armature):
    """The axis across the thigh and the shin is x; across both arm bones in the T-pose, too."""
    axes = dict(zip(NAMES, frames(armature), strict=True))
    for side, outward in [("left", 1), ("right", -1)]:
        assert axes[f"{side}_knee"][:, 0] @ (-1, 0, 0) > 0.8  # across the body
        assert axes[f"{side}_elbow"][:, 0] @ (0, 0, -outward) > 0.8  # upright


def test_rest_quats_are_the_bones_frames(armature):
    np.testing.assert_allclose(matrix_from_quat(rest_quats(armature)), frames(armature), atol=1e-4)


@pytest.mark.parametrize("mode", ["OBJECT", "EDIT", "POSE", "SCULPT"])
def test_mode_active_object_and_selection_come_back(scene, figure, mode):
    kinds = (bpy.data.armatures.new, bpy.data.armatures.new, bpy.data.meshes.new)
    things = [bpy.data.objects.new(f"mine{i}", make(f"mine{i}")) for i, make in enumerate(kinds)]
    for thing in things:
        scene.collection.objects.link(thing)
    layer = bpy.context.view_layer
    layer.objects.active = things[2] if mode == "SCULPT" else things[0]
    together = [things[2]] if mode == "SCULPT" else things[:2]
    for thing in together:
        thing.select_set(True)
    bpy.ops.object.mode_set(mode=mode)
    before = [(thing.mode, thing.select_get()) for thing in things]
    active = layer.objects.active

    made = build_armature(bpy.context, "rig", figure, scene.collection)

    assert [(thing.mode, thing.select_get()) for thing in things] == before
    assert layer.objects.active == active
    assert made.mode == "OBJECT"
    assert not made.select_get()
    assert len(made.data.bones) == 24


def test_edit_mode_ends_when_the_block_fails(scene):
    thing = bpy.data.objects.new("rig", bpy.data.armatures.new("rig"))
    scene.collection.objects.link(thing)
    modes = []

    def fail() -> None:
        with edit_mode(bpy.context, thing):
            modes.append(thing.mode)
            raise MemoryError

    with pytest.raises(MemoryError):
        fail()
    assert [*modes, thing.mode] == ["EDIT", "OBJECT"]
    assert bpy.context.view_layer.objects.active is None


def test_in_a_scene_that_no_window_shows(figure, scene):
    other = bpy.data.scenes.new("other")
    with bpy.context.temp_override(scene=other, view_layer=other.view_layers[0]):
        made = build_armature(bpy.context, "rig", figure, other.collection)
    assert len(made.data.bones) == 24
    assert made.name not in scene.objects
    assert bpy.context.scene == scene
