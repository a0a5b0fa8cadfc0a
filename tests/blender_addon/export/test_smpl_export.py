# SPDX-License-Identifier: GPL-3.0-or-later
"""smpl_export: what was imported comes out again, and edits with it."""

import json

import bpy
import numpy as np
import pytest
from recover_motion.export.character import export_character
from recover_motion.export.options import ExportOptions, ExportProblem
from recover_motion.import_motion import import_motion
from recover_motion.motion_file import read_motion_file
from smpl_reference import motion_arrays, rotation
from takes_in_blender import heads

pytestmark = pytest.mark.bpy

COUNT = 8


def turns(poses):
    return np.array(
        [[rotation(one) for one in frame] for frame in np.reshape(poses, (-1, 24, 3)).astype(float)]
    )


@pytest.fixture
def exported(recovered, synthetic_body_path, tmp_path):
    def export(**changes):
        options = ExportOptions(**({"body": synthetic_body_path} | changes))
        done = export_character(bpy.context, recovered, tmp_path / "out.person01.npz", "AMASS", options)
        return done, read_motion_file(done.file)

    return export


def test_an_unedited_motion_comes_out_as_it_went_in(exported):
    done, read = exported()
    source = motion_arrays(COUNT, 3)
    np.testing.assert_allclose(turns(read.poses), turns(source["poses"]), atol=1e-4)
    np.testing.assert_allclose(read.trans, source["trans"], atol=1e-5)
    np.testing.assert_allclose(read.betas, source["betas"], atol=1e-5)
    np.testing.assert_allclose(read.confidence, source["confidence"], atol=0.03)  # its curves are thinned
    np.testing.assert_allclose(read.camera.intrinsics, source["camera_intrinsics"], atol=0.01)
    np.testing.assert_allclose(read.camera.world_from_camera, source["world_from_camera"], atol=1e-5)
    assert read.camera.image_size == (1920, 1080)
    assert done.notes == ()


def test_it_says_where_it_comes_from(exported):
    _, read = exported()
    source = json.loads(str(motion_arrays(COUNT, 3)["meta"]))
    for name in ("schema", "model", "footage", "licences", "settings"):
        assert read.meta[name] == source[name], name
    assert read.meta["exported"]["frames"] == [1, COUNT]


def test_edits_come_along_and_it_can_be_imported_again(
    recovered, scene, exported, synthetic_body_path, tmp_path
):
    recovered.pose.bones["left_elbow"].constraints.new("LIMIT_ROTATION").use_limit_x = True
    recovered.location = (1, 2, 3)
    recovered.rotation_euler = (0.1, 0.2, 0.3)
    done, _ = exported(frames="OWN", start=2, end=6)
    again = import_motion(
        bpy.context, [done.file], body_path=synthetic_body_path, start_frame=2, use_camera=False
    ).armatures[0]
    for frame in range(2, 7):
        scene.frame_set(frame)
        np.testing.assert_allclose(heads(again), heads(recovered), atol=1e-4)


def test_the_shape_is_found_without_a_skin(recovered, exported):
    bpy.data.objects.remove(recovered.children[0])
    _, read = exported()
    np.testing.assert_allclose(read.betas, motion_arrays(COUNT, 3)["betas"], atol=1e-3)


def test_without_a_camera_there_is_a_level_one(scene, exported):
    bpy.data.objects.remove(scene.camera)
    done, read = exported()
    assert "no camera" in done.notes[0]
    np.testing.assert_allclose(read.camera.world_from_camera[0, :3, 2], [0, 1, 0], atol=1e-9)


def test_what_smpl_cannot_hold_is_told(recovered, exported):
    bone = recovered.pose.bones["left_knee"]
    bone.bone.use_inherit_rotation = True
    recovered.pose.bones["spine2"].scale = (1.3, 1.3, 1.3)
    done, _ = exported()
    assert any("leaves its socket" in note for note in done.notes)


def test_other_rigs_are_refused(made, tmp_path):
    with pytest.raises(ExportProblem, match="SMPL's 24 joints alone"):
        export_character(bpy.context, made("mannequin"), tmp_path / "a", "AMASS")


def test_a_missing_body_file_is_told(recovered, tmp_path):
    with pytest.raises(ExportProblem, match=r"nobody\.npz is not there"):
        export_character(
            bpy.context, recovered, tmp_path / "a", "SMPL", ExportOptions(body=tmp_path / "nobody.npz")
        )
