# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on's figures against the backend's own: the two halves agree on every convention."""

import os
from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from recover_motion.import_motion import import_motion
from smpl_reference import NAMES

pytestmark = pytest.mark.bpy


@pytest.fixture
def expected_folder() -> Path:
    folder = os.environ.get("FASTHMR_EXPECTED")
    if not folder:
        pytest.skip("FASTHMR_EXPECTED is not set: `python -m tests.make_expected OUT` writes such a folder")
    return Path(folder)


@pytest.mark.parametrize("clip", ["open", "stretched"])
def test_joints_skin_and_pixels_are_the_backends(scene, expected_folder, clip):
    with np.load(expected_folder / f"{clip}.expected.npz") as stored:
        joints, vertices, pixels = (stored[name] for name in ("joints", "vertices", "pixels"))
    result = import_motion(bpy.context, [expected_folder / f"{clip}.person01.npz"], set_render_size=True)
    assert result.notes == ()
    size = np.array([scene.render.resolution_x, scene.render.resolution_y])
    assert result.frame_range == (1, len(joints))
    for index in range(len(joints)):
        scene.frame_set(1 + index)
        depsgraph = bpy.context.evaluated_depsgraph_get()
        armature = result.armatures[0].evaluated_get(depsgraph)
        heads = [armature.matrix_world @ armature.pose.bones[name].head for name in NAMES]
        assert np.abs(np.array(heads) - joints[index]).max() < 1e-3

        mesh = result.meshes[0].evaluated_get(depsgraph).data
        skin = np.array([vertex.co for vertex in mesh.vertices])
        assert np.abs(skin - vertices[index]).max() < 1e-3

        view = np.array([world_to_camera_view(scene, result.camera, head) for head in heads])
        drawn = np.stack([view[:, 0], 1 - view[:, 1]], axis=1) * size
        assert np.abs(drawn - pixels[index]).max() < 0.5
