# SPDX-License-Identifier: GPL-3.0-or-later
"""What controls hang on, found in rigs whose constraints are known here and not there."""

from collections.abc import Callable

import bpy
import numpy as np
import pytest
from mathutils import Euler, Vector
from recover_motion.edit_mode import edit_mode
from recover_motion.retarget.following import ARMATURE, NOBODY, find_following


@pytest.fixture
def make_rig(scene) -> Callable[[dict[str, str]], bpy.types.Object]:
    """Makes an armature of bones at random places, from each bone's name and its parent's."""

    def make(parents: dict[str, str]) -> bpy.types.Object:
        random = np.random.default_rng(1)
        armature = bpy.data.armatures.new("Rig")
        rig = bpy.data.objects.new("Rig", armature)
        scene.collection.objects.link(rig)
        with edit_mode(bpy.context, rig):
            for name, parent in parents.items():
                bone = armature.edit_bones.new(name)
                bone.parent = armature.edit_bones.get(parent)
                bone.head = Vector(random.normal(size=3))
                if parent == "socket":  # its place does not change when the socket turns
                    bone.head = bone.parent.head
                bone.tail = bone.head + Vector(random.normal(size=3))
                bone.roll = random.uniform(-3, 3)
        bpy.context.view_layer.update()
        return rig

    return make


def find(rig: bpy.types.Object, controls: list[str], movable: tuple[str, ...] = ()):
    following = find_following(bpy.context, rig, controls, movable)

    def called(others: np.ndarray) -> dict[str, str]:
        named = {ARMATURE: "armature", NOBODY: "nobody"}
        return {
            name: named.get(other) or controls[other]
            for name, other in zip(controls, others.tolist(), strict=True)
        }

    return following, called(following.turns_with), called(following.sits_on)


def test_plain_parents(make_rig) -> None:
    rig = make_rig({"root": "", "between": "root", "arm": "between", "hand": "arm", "other": ""})
    controls = ["hand", "arm", "root", "other"]
    following, turns_with, sits_on = find(rig, controls, ("root",))
    assert turns_with == {"hand": "arm", "arm": "root", "root": "armature", "other": "armature"}
    assert sits_on == turns_with
    seen: set[int] = set()
    for control in following.order:  # each comes after what it follows
        assert following.turns_with[control] in seen | {ARMATURE}
        seen.add(control)


def test_rotation_from_one_bone_and_place_from_another(make_rig) -> None:
    rig = make_rig({"torso": "", "chest": "torso", "socket": "chest", "arm": "socket"})
    copy = rig.pose.bones["socket"].constraints.new("COPY_ROTATION")
    copy.target, copy.subtarget = rig, "torso"
    _, turns_with, sits_on = find(rig, ["arm", "chest", "torso"])
    assert turns_with["arm"] == "torso"
    assert sits_on["arm"] == "chest"


def test_bone_that_does_not_inherit_rotation(make_rig) -> None:
    rig = make_rig({"body": "", "level": "body"})
    rig.data.bones["level"].use_inherit_rotation = False
    _, turns_with, sits_on = find(rig, ["body", "level"])
    assert turns_with["level"] == "armature"
    assert sits_on["level"] == "body"


def test_half_a_constraint_follows_nobody(make_rig) -> None:
    rig = make_rig({"torso": "", "chest": "torso", "socket": "chest", "neck": "socket", "head": "neck"})
    copy = rig.pose.bones["socket"].constraints.new("COPY_ROTATION")
    copy.target, copy.subtarget, copy.influence = rig, "torso", 0.5
    following, turns_with, sits_on = find(rig, ["torso", "chest", "neck", "head"])
    assert turns_with["neck"] == "nobody"
    assert sits_on["neck"] == "chest"
    assert not following.knows(2)
    assert following.order[-2:] == (2, 3)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("parent", ["", "above"])
def test_location_along_own_axes_or_the_parents(make_rig, local: bool, parent: str) -> None:
    rig = make_rig({"above": "", "moved": parent})
    rig.data.bones["moved"].use_local_location = local
    following, turns_with, sits_on = find(rig, ["above", "moved"], ("moved",))
    assert turns_with["moved"] == sits_on["moved"] == (parent or "armature")
    rest = rig.data.bones["moved"].matrix_local
    wanted = rig.data.bones["above"].matrix_local.inverted() @ rest if parent else rest
    np.testing.assert_allclose(following.place[1], wanted.translation, atol=1e-5)


def test_pose_and_animation_are_as_before(make_rig) -> None:
    rig = make_rig({"a": "", "b": "a", "c": "b"})
    for mode, name in (("QUATERNION", "a"), ("XZY", "b"), ("AXIS_ANGLE", "c")):
        bone = rig.pose.bones[name]
        bone.rotation_mode = mode
        bone.matrix_basis = Euler((0.1, 0.2, 0.3)).to_matrix().to_4x4()
        bone.location, bone.scale = (1, 2, 3), (1, 1.5, 1)
    rig.pose.bones["a"].keyframe_insert("location", frame=1)
    action = rig.animation_data.action
    rig.animation_data.use_nla = True
    before = [np.array(bone.matrix_basis) for bone in rig.pose.bones]
    find(rig, ["a", "b", "c"], ("a",))
    for bone, matrix in zip(rig.pose.bones, before, strict=True):
        np.testing.assert_allclose(bone.matrix_basis, matrix, atol=1e-6)
    assert rig.animation_data.action == action
    assert rig.animation_data.use_nla
