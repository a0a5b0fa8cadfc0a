# SPDX-License-Identifier: GPL-3.0-or-later
"""Second imports as a whole: all or nothing, one undo step, saved and opened; the importer and the form."""

from pathlib import Path

import bpy
import numpy as np
import pytest
import recover_motion
from recover_motion import import_motion as module
from recover_motion.arrival import Destination, import_result
from recover_motion.import_motion import import_motion
from recover_motion.jobs import Job, State
from smpl_reference import BodyArrays, write_motion
from takes_in_blender import MILLIMETRE, SHAPE, census, importer, off

pytestmark = pytest.mark.bpy


@pytest.fixture
def body(synthetic_body_path: Path) -> BodyArrays:
    return BodyArrays.load(synthetic_body_path)


@pytest.fixture
def bring(scene, body, tmp_path):
    return importer(tmp_path, body)


@pytest.mark.parametrize("step", ["key_motion", "set_markers", "stamp", "clip_camera"])
@pytest.mark.parametrize("existing", ["REPLACE", "STACK"])
@pytest.mark.parametrize("use_nla", [False, True])
def test_a_failed_second_import_changes_nothing(bring, monkeypatch, step, existing, use_nla):
    lost = {"confidence": np.zeros((5, 24), np.float32)}
    armature = bring(1, use_nla=use_nla, changes=lost).armatures[0]
    armature.pose.bones["neck"].rotation_mode = "XYZ"
    before = census()
    done = getattr(module, step)

    def failing(*arguments):
        done(*arguments)
        raise MemoryError("no more")

    monkeypatch.setattr(module, step, failing)
    with pytest.raises(MemoryError):
        bring(2, existing=existing)
    assert census() == before
    assert armature.pose.bones["neck"].rotation_mode == "XYZ"


@pytest.fixture
def addon(scene):
    recover_motion.register()
    yield
    recover_motion.unregister()


@pytest.mark.parametrize("existing", ["NEW", "REPLACE", "STACK"])
def test_undo_is_one_step_and_complete(addon, body, tmp_path, existing):
    confidence = np.full((5, 24), 0.5, np.float32)
    for seed in (1, 2):
        (tmp_path / f"run{seed}").mkdir()
        confidence[seed] = 0
        path = tmp_path / f"run{seed}" / "clip.person01.npz"
        write_motion(path, seed=seed, betas=SHAPE, confidence=confidence)
    operator = bpy.ops.recover_motion.import_motion
    bpy.ops.ed.undo_push(message="empty")
    states = [census()]
    for seed in (1, 2):
        path = str(tmp_path / f"run{seed}" / "clip.person01.npz")
        done = operator(
            "EXEC_DEFAULT", True, filepath=path, body=str(body.path), existing=existing, use_nla=seed == 2
        )
        assert done == {"FINISHED"}
        states.append(census())
    assert len({str(state) for state in states}) == 3
    for state in (states[1], states[0]):
        bpy.ops.ed.undo()
        assert census() == state
    for state in states[1:]:
        bpy.ops.ed.redo()
        assert census() == state


@pytest.mark.parametrize("use_nla", [False, True])
def test_a_saved_file_opened_again_moves_the_same(bring, body, tmp_path, use_nla):
    bring(1)
    result = bring(2, existing="STACK", use_nla=use_nla)
    assert off(result.armatures[0], body, 2) < MILLIMETRE
    before = census()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    armature = bpy.data.objects["clip.person01"]
    assert census() == before
    assert off(armature, body, 2) < MILLIMETRE
    assert {bone.custom_shape is not None for bone in armature.pose.bones} == {True}
    assert "clip.person01" in bpy.data.actions
    assert bring(3, existing="REPLACE").armatures == (armature,)
    assert off(armature, body, 3) < MILLIMETRE


def test_the_importer_says_what_happened(addon, body, tmp_path, capfd):
    path = write_motion(tmp_path / "clip.person01.npz", betas=SHAPE)
    for existing in ("NEW", "REPLACE"):
        bpy.ops.recover_motion.import_motion(filepath=str(path), body=str(body.path), existing=existing)
    said = capfd.readouterr().out
    assert 'Info: clip.person01 moves by "clip.person01.001" now.' in said
    assert len([thing for thing in bpy.data.objects if thing.type == "ARMATURE"]) == 1
    settings = bpy.ops.recover_motion.import_motion.get_rna_type().properties
    assert settings["existing"].default == "NEW"
    assert settings["existing"].is_skip_save  # not what was chosen the last time
    assert settings["use_nla"].default is False


def test_the_forms_choice_is_saved_with_the_file(addon, tmp_path):
    form = bpy.context.scene.recover_motion
    assert (form.existing, form.use_nla) == ("NEW", False)
    form.existing, form.use_nla = "STACK", True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    form = bpy.context.scene.recover_motion
    assert (form.existing, form.use_nla) == ("STACK", True)


@pytest.mark.parametrize("existing", ["NEW", "STACK"])
def test_a_job_brings_its_result_in_as_the_form_says(addon, body, tmp_path, existing):
    scene = bpy.context.scene
    path = write_motion(tmp_path / "clip.person01.npz", betas=SHAPE)
    import_motion(bpy.context, [path], body_path=body.path)
    scene.recover_motion.footage = str(tmp_path / "clip.mp4")
    scene.recover_motion.existing = existing
    scene.recover_motion.use_nla = True
    job = Job("recover", {}, imports=True)
    job.result = {"motions": [str(path)], "body": str(body.path)}
    import_result(job, Destination.of(scene))
    assert job.state is State.DONE
    armatures = [thing for thing in bpy.data.objects if thing.type == "ARMATURE"]
    tracks = [track.mute for track in armatures[-1].animation_data.nla_tracks]
    if existing == "STACK":
        assert len(armatures) == 1
        assert tracks == [True, False]
        assert any("is kept in the muted NLA track" in detail for detail in job.details)
    else:
        assert len(armatures) == 2
        assert tracks == [False]
