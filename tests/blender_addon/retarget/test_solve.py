# SPDX-License-Identifier: GPL-3.0-or-later
"""A control rig as a whole: what its controls do to the bones that move skin, and its IK beside its FK."""

import bpy
import numpy as np
import pytest
from characters import character
from characters.motions import walk
from mathutils import Euler, Matrix
from recover_motion.compat import curves_of
from recover_motion.retarget.detection import detect
from recover_motion.retarget.options import Options
from recover_motion.retarget.preset_file import built_in_presets
from recover_motion.retarget.retarget import retarget
from recover_motion.retarget.rig_bones import rig_bones
from recover_motion.retarget.solve import ObjectMotion
from recover_motion.rotations import quat_from_rotvec

COUNT = 40
LIMBS = {
    f"ORG-{bone}.{letter}": f"{side}_{joint}"
    for letter, side in (("L", "left"), ("R", "right"))
    for bone, joint in (
        ("upper_arm", "shoulder"),
        ("forearm", "elbow"),
        ("thigh", "hip"),
        ("shin", "knee"),
    )
}
"""Bones that Rigify's controls move, and whose direction is the source's."""


@pytest.fixture
def performed(scene, tmp_path):
    """A walking body and a Rigify human with its motion."""
    source = walk(tmp_path, count=COUNT)
    bpy.data.objects.remove(source.mesh)
    rig = character("rigify", scene).armature
    bone_map = detect(rig_bones(rig), built_in_presets())[0].bone_map
    made = retarget(bpy.context, source.armature, rig, bone_map, Options(feet="OFF"))
    return source.armature, rig, made


def heads(rig: bpy.types.Object, names: list[str], frames: list[int]) -> np.ndarray:
    places = []
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        places.append([rig.matrix_world @ rig.pose.bones[name].head for name in names])
    return np.array(places)


def test_limbs_point_the_sources_way_in_a_generated_rig(performed) -> None:
    source, rig, made = performed
    assert made.degrees < 0.1
    assert made.notes == ()
    worst = 0.0
    for frame in range(1, COUNT + 1, 3):
        bpy.context.scene.frame_set(frame)
        for ours, theirs in LIMBS.items():
            apart = rig.pose.bones[ours].vector.normalized() - source.pose.bones[theirs].vector.normalized()
            worst = max(worst, apart.length)
    assert np.degrees(worst) < 0.5  # a Rigify limb ends at its tweak, not quite at the next joint


def test_limbs_switched_to_ik_stay_where_they_are(performed) -> None:
    """At any frame: hands and feet on the spot, elbows and knees about there."""
    _, rig, _ = performed
    frames = list(range(1, COUNT + 1, 5))
    ends = [f"ORG-{bone}.{side}" for bone in ("hand", "foot") for side in "LR"]
    bends = [f"ORG-{bone}.{side}" for bone in ("forearm", "shin") for side in "LR"]
    by_fk = heads(rig, ends + bends, frames)
    switches = [curve for curve in curves_of(rig) if curve.data_path.endswith('["IK_FK"]')]
    assert len(switches) == 4
    for curve in switches:
        assert curve.keyframe_points[0].co.y == 1
        curve.keyframe_points[0].co.y = 0
        curve.update()
    by_ik = heads(rig, ends + bends, frames)
    off = np.linalg.norm(by_ik - by_fk, axis=-1)
    assert off[:, : len(ends)].max() < 0.005
    assert off[:, len(ends) :].max() < 0.05


def test_object_that_moves_takes_points_inside_and_out_again() -> None:
    random = np.random.default_rng(3)
    turns = quat_from_rotvec(random.normal(size=(5, 3)))
    thing = ObjectMotion(turns, random.normal(size=(5, 3)), 0.01)
    points = random.normal(size=(5, 3))
    np.testing.assert_allclose(thing.places_outside(thing.places_inside(points)), points, atol=1e-12)
    angles = random.normal(size=3)
    matrix = Matrix.LocRotScale((1, 2, 3), Euler(angles), (0.01,) * 3)
    still = ObjectMotion(np.array(Euler(angles).to_quaternion())[None], np.array([[1.0, 2, 3]]), 0.01)
    wanted = [matrix.inverted() @ matrix.translation.__class__(point) for point in points]
    np.testing.assert_allclose(still.places_inside(points), wanted, rtol=1e-4, atol=1e-3)
