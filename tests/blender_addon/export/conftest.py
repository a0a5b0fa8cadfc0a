# SPDX-License-Identifier: GPL-3.0-or-later
"""Characters to export, and what Blender's data are before and after."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    import bpy

FRAMES = 8


@pytest.fixture
def recovered(scene: "bpy.types.Scene", synthetic_body_path: Path, tmp_path: Path) -> "bpy.types.Object":
    """A recovered body with a motion of eight frames from frame 1 on; its skin is its child."""
    import bpy
    from recover_motion.import_motion import import_motion
    from smpl_reference import write_motion

    folder = tmp_path / "recovered"
    folder.mkdir()
    path = write_motion(folder / "walk.person01.npz", count=FRAMES, seed=3)
    imported = import_motion(bpy.context, [path], body_path=synthetic_body_path)
    scene.frame_set(4)
    return imported.armatures[0]


@pytest.fixture
def made(scene: "bpy.types.Scene") -> Callable[[str], "bpy.types.Object"]:
    """What builds a character of `characters` and moves all of its bones, in frames 3 to 10."""
    import bpy
    from characters import character

    def make(name: str, seed: int = 5) -> "bpy.types.Object":
        random = np.random.default_rng(seed)
        armature = character(name, scene).armature
        for bone in armature.pose.bones:
            bone.rotation_mode = "XYZ"
            for frame in (3, 7, 10):
                bone.rotation_euler = random.normal(0, 0.3, 3)
                bone.keyframe_insert("rotation_euler", frame=frame)
                if bone.parent is None:
                    bone.location = random.normal(0, 0.5, 3) / armature.scale[0]
                    bone.keyframe_insert("location", frame=frame)
        bpy.context.view_layer.update()
        return armature

    return make
