# SPDX-License-Identifier: GPL-3.0-or-later
"""The preset for Rigify against the rig that this Blender's Rigify generates: its controls move the skin."""

import math

import bpy
import example_rigs
import numpy as np
import pytest
from characters.rigify_human import rigify_armature
from mathutils import Quaternion, Vector
from recover_motion.retarget.detection import detect
from recover_motion.retarget.preset_file import built_in_presets
from recover_motion.retarget.rig_bones import rig_bones
from recover_motion.skeleton import JOINT_NAMES, PARENTS

MOVED = {
    "pelvis": "DEF-spine",
    "spine1": "DEF-spine.001",
    "spine2": "DEF-spine.002",
    "spine3": "DEF-spine.003",
    "neck": "DEF-spine.004",
    "head": "DEF-spine.006",
    **{
        f"{side}_{joint}": f"DEF-{bone}.{side[0].upper()}"
        for side in ("left", "right")
        for joint, bone in (
            ("collar", "shoulder"),
            ("shoulder", "upper_arm"),
            ("elbow", "forearm"),
            ("wrist", "hand"),
            ("hip", "thigh"),
            ("knee", "shin"),
            ("ankle", "foot"),
            ("foot", "toe"),
        )
    },
}
"""Role to a bone that moves skin; those between the neck's and the head's are blends."""


@pytest.fixture
def generated(scene):
    return rigify_armature(scene, "basic")


def test_generated_rig(generated):
    best = detect(rig_bones(generated), built_in_presets())[0]
    assert (best.id, best.missing) == ("rigify", ())
    assert best.score == pytest.approx(1.0)

    example = {bone.name: bone for bone in example_rigs.rig("rigify_basic")}
    for bone in rig_bones(generated):
        assert bone.parent == example[bone.name].parent
        np.testing.assert_allclose(bone.head, example[bone.name].head, atol=6e-4)
    assert len(example) == len(generated.data.bones)

    bones = best.bone_map.bones
    for one in best.bone_map.settings:
        bone = generated.pose.bones[one.bone]
        bone[one.property] = type(bone[one.property])(one.value)
    turns = random_turns()
    # from parents to children: the spine's lower half hangs upside down on its middle
    order = [("pelvis", "torso"), ("spine1", "spine_fk.001"), ("pelvis", "spine_fk")]
    order += [(r, b) for r in JOINT_NAMES if r in bones for b in bones[r] if (r, b) not in order]
    assert len(order) == 23
    for role, name in order:
        pose = generated.pose.bones[name]
        pose.rotation_mode = "QUATERNION"
        bpy.context.view_layer.update()
        goal = (turns[role].to_matrix() @ pose.bone.matrix_local.to_3x3()).to_4x4()
        goal.translation = pose.matrix.translation
        pose.matrix = goal
        pose.location = (0, 0, 0)
    bpy.context.view_layer.update()

    for role, name in MOVED.items():
        moved = generated.pose.bones[name]
        along = turns[role] @ (moved.bone.matrix_local.to_3x3() @ Vector((0, 1, 0)))
        error = math.degrees((moved.matrix.to_3x3() @ Vector((0, 1, 0))).angle(along))
        assert error < 0.05, (role, error)


def random_turns() -> dict[str, Quaternion]:
    """Turns of all joints about the armature's axes, up to 20° from one to the next."""
    random = np.random.default_rng(11)
    turns: dict[str, Quaternion] = {}
    for joint, parent in zip(JOINT_NAMES, PARENTS, strict=True):
        turn = Quaternion(Vector(random.normal(size=3)).normalized(), random.uniform(0, 0.35))
        turns[joint] = turns[JOINT_NAMES[parent]] @ turn if parent >= 0 else turn
    return turns
