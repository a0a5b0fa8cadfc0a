# SPDX-License-Identifier: GPL-3.0-or-later
"""One line each to retarget in a test: a source without its skin, the map of a rig, the motion onto it."""

from pathlib import Path

import bpy
from characters.motions import Source, walk
from recover_motion.retarget.detection import detect
from recover_motion.retarget.mapping import ROLES, BoneMap
from recover_motion.retarget.options import Options
from recover_motion.retarget.preset_file import built_in_presets
from recover_motion.retarget.retarget import Retargeted, retarget
from recover_motion.retarget.rig_bones import rig_bones

FREE = Options(feet="OFF")


def mapped(bones: dict[str, str]) -> BoneMap:
    return BoneMap({role: (bones[role],) for role in ROLES})


def detected(rig: bpy.types.Object) -> BoneMap:
    return detect(rig_bones(rig), built_in_presets())[0].bone_map


def bare(source: Source) -> Source:
    """A source without its skin: Blender steps through frames faster."""
    bpy.data.objects.remove(source.mesh)
    return source


def bare_walk(folder: Path, count: int) -> Source:
    return bare(walk(folder, count=count))


def go(
    source: Source, rig: bpy.types.Object, bone_map: BoneMap | None = None, options: Options = FREE, **more
) -> Retargeted:
    return retarget(bpy.context, source.armature, rig, bone_map or detected(rig), options, **more)
