# SPDX-License-Identifier: GPL-3.0-or-later
"""Where soles are found: on feet of boxes whose ends are known, and from bones alone."""

from collections.abc import Callable

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Vector
from recover_motion.edit_mode import edit_mode
from recover_motion.retarget.mapping import BoneMap
from recover_motion.retarget.soles import find_soles, skins_of
from recover_motion.retarget.target_rig import read_target

BONES = {
    "pelvis": ("", (0, 0, 1), (0, 0, 1.1)),
    **{
        f"{name}{side}": (f"{parent}{side}" if parent else "pelvis", (sign * 0.1, *head), (sign * 0.1, *tail))
        for side, sign in ((".L", 1), (".R", -1))
        for name, parent, head, tail in (
            ("thigh", "", (0, 0.95), (0, 0.5)),
            ("shin", "thigh", (0, 0.5), (0.02, 0.1)),
            ("foot", "shin", (0.02, 0.1), (-0.1, 0.03)),
            ("toes", "foot", (-0.1, 0.03), (-0.16, 0.03)),
        )
    },
}
HEEL, TIP, FLOOR = 0.09, -0.19, 0.0


def bone_map(toes: bool = True) -> BoneMap:
    roles = {"hip": "thigh", "knee": "shin", "ankle": "foot"} | ({"foot": "toes"} if toes else {})
    bones = {"pelvis": ("pelvis",)}
    for side, letter in (("left", "L"), ("right", "R")):
        bones |= {f"{side}_{role}": (f"{bone}.{letter}",) for role, bone in roles.items()}
    return BoneMap(bones)


@pytest.fixture
def make_rig(scene) -> Callable[..., bpy.types.Object]:
    """Makes legs with feet; `boxes` are corners of skin on each side."""

    def make(boxes: tuple = (), world: Matrix | None = None) -> bpy.types.Object:
        armature = bpy.data.armatures.new("Rig")
        rig = bpy.data.objects.new("Rig", armature)
        scene.collection.objects.link(rig)
        with edit_mode(bpy.context, rig):
            for name, (parent, head, tail) in BONES.items():
                bone = armature.edit_bones.new(name)
                bone.head, bone.tail = Vector(head), Vector(tail)
                bone.parent = armature.edit_bones.get(parent)
        for low, high in boxes:
            corners = np.array(np.meshgrid(*zip(low, high, strict=True))).reshape(3, -1).T
            mesh = bpy.data.meshes.new("Skin")
            mesh.from_pydata((corners + np.zeros(3)).tolist(), [], [])
            thing = bpy.data.objects.new("Skin", mesh)
            scene.collection.objects.link(thing)
            thing.parent = rig
            thing.modifiers.new("Armature", "ARMATURE").object = rig
        if world is not None:
            rig.matrix_world = world
        bpy.context.view_layer.update()
        return rig

    return make


def feet(floor: float = FLOOR) -> tuple:
    """A foot on each side: a box from heel to toe tip."""
    return tuple(((sign * 0.1 - 0.04, TIP, floor), (sign * 0.1 + 0.04, HEEL, 0.08)) for sign in (1, -1))


def found(rig: bpy.types.Object, toes: bool = True, towards: np.ndarray | None = None):
    mapped = bone_map(toes)
    return find_soles(rig, read_target(rig, mapped), mapped, np.eye(3) if towards is None else towards)


@pytest.mark.parametrize("floor", [0.0, -0.03, 0.02])
def test_soles_are_those_of_the_skin(make_rig, floor: float) -> None:
    soles, from_skin = found(make_rig(feet(floor)))
    assert from_skin
    length = HEEL - TIP
    for side in (0, 1):
        ankle = np.array([(0.1, -0.1)[side], 0.02, 0.1])
        np.testing.assert_allclose(ankle + soles.heel[side], [ankle[0], HEEL, floor], atol=0.02 * length)
        np.testing.assert_allclose(ankle + soles.ball[side], [ankle[0], -0.1, floor], atol=1e-6)
        tip = ankle + soles.ball_joint[side] + soles.toe[side]
        np.testing.assert_allclose(tip, [ankle[0], TIP, floor], atol=0.02 * length)


def test_skirt_lamp_and_hands_are_no_soles(make_rig) -> None:
    skirt = ((-0.3, -0.3, 0.4), (0.3, 0.3, 0.9))
    hair = ((-0.2, 0.5, 0.0), (0.2, 0.6, 1.5))  # to the floor, but far behind
    bare, _ = found(make_rig(feet()))
    dressed, _ = found(make_rig((*feet(), skirt, hair)))
    np.testing.assert_allclose(dressed.heel, bare.heel)
    np.testing.assert_allclose(dressed.toe, bare.toe)


def test_foot_without_toes_is_one_piece(make_rig) -> None:
    soles, _ = found(make_rig(feet()), toes=False)
    np.testing.assert_array_equal(soles.ball_joint, 0)
    assert (soles.heel[:, 1] > soles.ball[:, 1]).all()
    assert (soles.ball[:, 1] > soles.toe[:, 1]).all()
    np.testing.assert_allclose(soles.toe[:, 2], -0.1, atol=1e-6)


@pytest.mark.parametrize("boxes", [(), (((-0.1, -0.1, 1.0), (0.1, 0.1, 1.8)),)])
def test_without_skin_the_bones_tell(make_rig, boxes: tuple) -> None:
    soles, from_skin = found(make_rig(boxes))
    assert not from_skin
    np.testing.assert_allclose(soles.heel[:, 2], 0.03 - 0.1, atol=1e-6)
    np.testing.assert_allclose(soles.toe[:, 2], 0, atol=1e-9)
    assert (soles.heel[:, 1] > 0).all()


def test_rig_of_an_importer_with_scale_and_turned_axes(make_rig) -> None:
    plain, _ = found(make_rig(feet()))
    world = Matrix.Translation((3, -2, 0.5)) @ Matrix.Rotation(0.7, 4, "Z") @ Matrix.Scale(0.1, 4)
    rig = make_rig(feet(), world)
    turned, _ = found(rig, towards=np.array(Matrix.Rotation(-0.7, 3, "Z")))
    for name in ("heel", "ball", "toe", "ball_joint"):
        np.testing.assert_allclose(getattr(turned, name), 0.1 * getattr(plain, name), atol=1e-6)


def test_shoes_that_hang_on_bones_count_as_they_are_at_rest(make_rig) -> None:
    rig = make_rig(feet())
    wanted, _ = found(rig)
    for side, shoe in zip(("L", "R"), skins_of(rig), strict=True):
        shoe.modifiers.clear()
        there = shoe.matrix_world.copy()
        shoe.parent_type, shoe.parent_bone = "BONE", f"foot.{side}"
        shoe.matrix_world = there
    bpy.context.view_layer.update()
    rig.pose.bones["shin.L"].rotation_mode = "XYZ"
    rig.pose.bones["shin.L"].rotation_euler = (0.6, 0, 0)
    bpy.context.view_layer.update()
    soles, from_skin = found(rig)
    assert from_skin
    np.testing.assert_allclose(soles.heel, wanted.heel, atol=1e-5)
    np.testing.assert_allclose(soles.toe, wanted.toe, atol=1e-5)


def test_skins_are_the_meshes_that_the_rig_deforms(make_rig) -> None:
    rig, other = make_rig(feet()), make_rig(feet())
    assert len(skins_of(rig)) == 2
    assert not set(skins_of(rig)) & set(skins_of(other))
