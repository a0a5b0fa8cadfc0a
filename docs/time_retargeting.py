# SPDX-License-Identifier: GPL-3.0-or-later
"""Times the retargeting of 1,000 frames to every character of the tests, for docs/retargeting.md.

    python docs/time_retargeting.py

Run it with a Python that has bpy (`python build.py test` makes some in .venv-blender). Each time is the best
of three, all options as they are by default: feet planted, IK controls placed, the result checked in the
scene.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_WORK = Path(tempfile.mkdtemp(prefix="time_retargeting_"))
os.environ["BLENDER_USER_RESOURCES"] = str(_WORK / "user")  # the user's own settings are left alone
sys.path[:0] = [str(_ROOT / "tests" / "blender_addon"), str(_WORK)]
shutil.copytree(_ROOT / "blender_addon", _WORK / "recover_motion")
(_WORK / "recover_motion" / "bodies").mkdir(exist_ok=True)
shutil.copy(_ROOT / "backend/fasthmr/body/open_body.npz", _WORK / "recover_motion" / "bodies")

import bpy  # noqa: E402
from characters import CHARACTERS, character  # noqa: E402
from characters.motions import walk  # noqa: E402
from recover_motion.retarget.detection import detect  # noqa: E402
from recover_motion.retarget.options import Options  # noqa: E402
from recover_motion.retarget.preset_file import built_in_presets  # noqa: E402
from recover_motion.retarget.retarget import retarget  # noqa: E402
from recover_motion.retarget.rig_bones import rig_bones  # noqa: E402

FRAMES = 1000


def main() -> None:
    """Print a line for each character."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    source = walk(_WORK, count=FRAMES)
    bpy.data.objects.remove(source.mesh)
    for name in CHARACTERS:
        made = character(name, scene)
        bone_map = detect(rig_bones(made.armature), built_in_presets())[0].bone_map
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            retarget(bpy.context, source.armature, made.armature, bone_map, Options())
            seconds.append(time.perf_counter() - started)
        keyed = len({bone for bones in bone_map.bones.values() for bone in bones})
        print(f"{name:16} {keyed:3} bones {min(seconds):6.2f} s")  # noqa: T201
        bpy.data.batch_remove([made.mesh, made.armature])
    shutil.rmtree(_WORK, ignore_errors=True)


if __name__ == "__main__":
    main()
