# SPDX-License-Identifier: GPL-3.0-or-later
"""footage_operators.py: a drop and a click fill the form, and start nothing."""

import bpy
import pytest
import recover_motion
from recover_motion import job_form, session

pytestmark = pytest.mark.bpy


@pytest.fixture
def form(scene):
    recover_motion.register()
    yield scene.recover_motion
    recover_motion.unregister()


def test_a_dropped_video_becomes_the_footage(form, tmp_path):
    (tmp_path / "walk.mp4").touch()
    form.source = "CLIP"
    # what Blender fills in for a drop of one file and of several
    assert bpy.ops.recover_motion.use_footage(filepath=str(tmp_path / "walk.mp4")) == {"FINISHED"}
    assert (form.source, job_form.footage_of(form)) == ("FILE", tmp_path / "walk.mp4")
    assert session.job is None


def test_of_several_images_the_sequence_is_meant(form, tmp_path):
    names = [f"shot_{number:02d}.png" for number in (12, 10, 11)]
    for name in names:
        (tmp_path / name).touch()
    files = [{"name": name} for name in names]
    assert bpy.ops.recover_motion.use_footage(directory=str(tmp_path), files=files) == {"FINISHED"}
    assert form.footage == str(tmp_path / "shot_10.png")
    assert job_form.footage_of(form) == tmp_path / "shot_##.png"


def test_nothing_was_given(form):
    with pytest.raises(RuntimeError, match="No file was given"):
        bpy.ops.recover_motion.use_footage()
    assert form.footage == ""


def test_the_handler_takes_videos_and_images_in_a_3d_view_alone(form):
    handler = bpy.types.RECOVER_MOTION_FH_footage
    assert {".mp4", ".mov", ".png", ".jpg"} <= set(handler.bl_file_extensions.split(";"))
    assert handler.bl_import_operator == "recover_motion.use_footage"

    def dropped_on(kind):
        area = kind and type("Area", (), {"type": kind})
        return handler.poll_drop(type("Context", (), {"area": area}))

    assert dropped_on("VIEW_3D")
    assert not dropped_on("CLIP_EDITOR")  # Blender opens the file there, and the sidebar offers it
    assert not dropped_on(None)


def test_the_clip_editors_clip(form, tmp_path):
    with pytest.raises(RuntimeError, match="Open a clip in the Movie Clip editor first"):
        bpy.ops.recover_motion.use_clip()


def test_tick_all_or_none(form, tmp_path):
    with pytest.raises(RuntimeError, match="Find the people first"):
        bpy.ops.recover_motion.tick_people(chosen=False)
    (tmp_path / "walk.mp4").touch()
    form.footage = str(tmp_path / "walk.mp4")
    found = [{"person": number, "start": 0.0, "end": 1.0, "coverage": 1.0} for number in (1, 2, 3)]
    job_form.list_people(form, found, job_form.clip_of(form))
    assert job_form.chosen_people(form) == [1, 2, 3]
    assert bpy.ops.recover_motion.tick_people(chosen=False) == {"FINISHED"}
    assert job_form.chosen_people(form) == []
    form.people[1].chosen = True
    assert job_form.chosen_people(form) == [2]
    assert bpy.ops.recover_motion.tick_people() == {"FINISHED"}
    assert job_form.chosen_people(form) == [1, 2, 3]
