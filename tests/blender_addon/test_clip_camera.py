# SPDX-License-Identifier: GPL-3.0-or-later
"""clip_camera.py: which cameras are the same. (What an import does with them is tested in test_takes.)"""

import bpy
import numpy as np
import pytest
from recover_motion.camera import build_camera
from recover_motion.clip_camera import _agree, _discard
from recover_motion.motion_file import CameraTrack
from smpl_reference import intrinsics, level_camera

pytestmark = pytest.mark.bpy


def camera(scene, focal: float = 1.0, move: float = 0.0, side: float = 0.0) -> bpy.types.Object:
    matrices = level_camera(4)
    matrices[:, 0, 3] = side + np.linspace(0, move, 4)
    lens = intrinsics(1280, 720)
    lens[[0, 1], [0, 1]] *= focal
    track = CameraTrack(lens, matrices, (1280, 720))
    return build_camera("camera", [(np.arange(4) / 30, track)], 30, 1, scene.collection)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({}, {}, True),
        ({"move": 1}, {"move": 1}, True),
        ({}, {"focal": 1.01}, False),
        ({}, {"side": 0.01}, False),
        ({"move": 1}, {"move": 1.01}, False),
        ({}, {"move": 1}, False),
    ],
)
def test_same(scene, one, other, same):
    a, b = camera(scene, **one), camera(scene, **other)
    assert _agree(a, b) is same
    assert _agree(b, a) is same


@pytest.mark.parametrize("edit", ["moved", "parented", "constrained", "scaled"])
def test_a_camera_that_the_user_has_changed_is_another(scene, edit):
    a, b = camera(scene), camera(scene)
    if edit == "moved":
        a.location.z += 0.5
    elif edit == "parented":
        a.parent = bpy.data.objects.new("parent", None)
    elif edit == "constrained":
        a.constraints.new("TRACK_TO")
    else:
        a.scale = (2, 2, 2)
    assert not _agree(a, b)


def test_discarded_without_a_trace(scene):
    kept = camera(scene, move=1)
    _discard(camera(scene, move=1))
    assert list(bpy.data.objects) == [kept]
    assert list(bpy.data.cameras) == [kept.data]
    assert list(bpy.data.actions) == [kept.animation_data.action]
