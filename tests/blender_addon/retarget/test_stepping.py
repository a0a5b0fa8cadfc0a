# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls that hang between two bones: posed frame by frame, as well as the others."""

import bpy
import numpy as np
from characters.exact import same_directions
from characters.motions import random_poses
from recover_motion.compat import curves_of
from recover_motion.retarget.mapping import ROLES, BoneMap
from recover_motion.retarget.options import Options
from recover_motion.retarget.retarget import retarget

LEFT_OUT = ("spine1", "spine2", "spine3", "left_shoulder", "left_collar")


def test_bones_on_half_a_constraint_point_the_sources_way(scene, tmp_path) -> None:
    source = random_poses(tmp_path, seed=12, count=25)
    rig = same_directions(source.armature, 12, scene)
    bpy.data.objects.remove(source.mesh)
    bones = rig.armature.pose.bones
    for role in ("neck", "left_elbow"):
        half = bones[rig.bones[role]].parent.constraints.new("COPY_ROTATION")
        half.target, half.subtarget, half.influence = rig.armature, rig.bones["pelvis"], 0.5
    bone_map = BoneMap({role: (rig.bones[role],) for role in ROLES if role not in LEFT_OUT})
    made = retarget(
        bpy.context, source.armature, rig.armature, bone_map, Options(feet="OFF", every=2), frames=(3, 25)
    )
    assert made.degrees < 0.1
    assert made.notes == ()
    worst = 0.0
    for frame in range(3, 26, 2):
        scene.frame_set(frame)
        for role, (name,) in bone_map.bones.items():
            ours = (rig.armature.matrix_world.to_3x3() @ bones[name].vector).normalized()
            worst = max(worst, (ours - source.armature.pose.bones[role].vector.normalized()).length)
    assert np.degrees(worst) < 0.1
    keyed = {len(curve.keyframe_points) for curve in curves_of(rig.armature)}
    assert keyed == {12}  # every second frame, for these bones as well
