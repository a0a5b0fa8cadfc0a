# SPDX-License-Identifier: GPL-3.0-or-later
"""chosen_footage.py: files, sequences and movie clips as the backend takes them, with the form's range."""

from pathlib import Path

import bpy
import pytest
import recover_motion
from recover_motion import image_sequence, job_form
from recover_motion.backdrop import add_backdrop
from recover_motion.chosen_footage import chosen_footage, footage_path, problem_of_footage
from recover_motion.footage_range import chosen_span

pytestmark = pytest.mark.bpy


@pytest.fixture
def form(scene):
    recover_motion.register()
    image_sequence.forget()
    scene.render.fps = 24
    yield scene.recover_motion
    recover_motion.unregister()


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    """Two seconds of grey at 30 frames per second, uncompressed."""
    path = tmp_path / "walk.mp4"
    frames = [b"FRAME\n" + bytes([4 * i]) * (64 * 36) + bytes([128]) * (64 * 36 // 2) for i in range(60)]
    path.write_bytes(b"YUV4MPEG2 W64 H36 F30:1 Ip A1:1 C420jpeg\n" + b"".join(frames))
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Twenty pictures, numbered from 5."""
    folder = tmp_path / "shots"
    folder.mkdir()
    image = bpy.data.images.new("i", 32, 16)
    image.file_format = "PNG"
    for number in range(5, 25):
        image.filepath_raw = str(folder / f"shot_{number:04d}.png")
        image.save()
    bpy.data.images.remove(image)
    return folder


def choose_clip(form, path, frame_start=1, offset=0):
    clip = bpy.data.movieclips.load(str(path))
    clip.frame_start, clip.frame_offset = frame_start, offset
    form.source, form.clip = "CLIP", clip
    return clip


def test_nothing_is_chosen(form):
    assert chosen_footage(form) is None
    assert problem_of_footage(form) == "Choose the footage first"
    form.source = "CLIP"
    assert chosen_footage(form) is None
    assert problem_of_footage(form) == "Choose a movie clip first"
    assert job_form.footage_of(form) is None


def test_a_video_file_is_not_opened(form, movie):
    form.footage = str(movie)
    form.id_data.frame_start = 7
    footage = chosen_footage(form)
    assert footage.path == movie
    assert not footage.is_sequence
    assert (footage.rate, footage.size, footage.count, footage.shown) == (None, None, None, None)
    assert (footage.origin, footage.clock) == (7, 24.0)
    assert len(bpy.data.movieclips) == 0
    assert job_form.clip_of(form) == {"footage": str(movie)}


def test_a_picture_is_its_sequence_at_the_scenes_rate_or_its_own(form, pictures):
    form.footage = str(pictures / "shot_0011.png")
    footage = chosen_footage(form)
    assert footage.path == pictures / "shot_####.png"
    assert (footage.is_sequence, footage.rate, footage.count) == (True, 24.0, 20)
    assert job_form.clip_of(form) == {"footage": str(pictures / "shot_####.png"), "frame_rate": 24.0}
    assert job_form.out_of(form) == pictures / "shot_motion"
    form.frame_rate = 29.97
    assert job_form.clip_of(form)["frame_rate"] == 29.97
    form.id_data.render.fps, form.id_data.render.fps_base = 30, 1.001
    form.frame_rate = 0.0
    assert job_form.request_of(form)["frame_rate"] == 29.97
    form.footage = str(pictures)
    assert chosen_footage(form).count == 20
    assert job_form.out_of(form) == pictures.parent / "shots_motion"


def test_a_movie_clip_is_its_file_and_what_blender_shows_of_it(form, movie):
    choose_clip(form, movie, frame_start=11, offset=20)
    footage = chosen_footage(form)
    assert footage.path == movie
    assert footage.rate == pytest.approx(30.0)
    assert (footage.size, footage.count, footage.shown) == ((64, 36), 60, (20, 59))
    assert footage.origin == -9  # index = scene frame - 11 + 20
    assert job_form.clip_of(form) == {"footage": str(movie)}
    form.part = "CLIP"
    assert job_form.clip_of(form) == {
        "footage": str(movie),
        "start": pytest.approx(19.5 / 30, abs=1e-6),
        "end": pytest.approx(59.5 / 30, abs=1e-6),
    }
    scene = form.id_data
    form.part, scene.frame_start, scene.frame_end = "SCENE", 1, 30  # shows frames 20 to 39 from frame 11 on
    assert job_form.clip_of(form)["start"] == pytest.approx(19.5 / 30, abs=1e-6)
    assert job_form.clip_of(form)["end"] == pytest.approx(39.5 / 30, abs=1e-6)
    scene.render.fps = 30
    assert job_form.start_frame_of(form) == -9
    scene.frame_start, scene.frame_end = 60, 70
    assert job_form.problem_of(form) == (
        "The scene's frames 60 to 70 show nothing of the clip, which stands at frames 11 to 50"
    )
    assert not job_form.knows_people(form)
    assert job_form.start_frame_of(form) is None


def test_a_movie_clip_of_pictures_begins_at_its_own_first(form, pictures):
    choose_clip(form, pictures / "shot_0010.png", frame_start=1, offset=3)
    footage = chosen_footage(form)
    assert footage.path == pictures / "shot_####.png"
    assert (footage.is_sequence, footage.rate, footage.size, footage.count) == (True, 24.0, (32, 16), 20)
    assert footage.shown == (8, 19)  # from shot_0013 on, which is the ninth of the folder
    assert footage.origin == -7
    form.part = "CLIP"
    assert job_form.clip_of(form) == {
        "footage": str(pictures / "shot_####.png"),
        "start": pytest.approx(7.5 / 24, abs=1e-6),
        "end": pytest.approx(19.5 / 24, abs=1e-6),
        "frame_rate": 24.0,
    }


def test_a_movie_clip_without_its_file(form, movie, tmp_path):
    clip = choose_clip(form, movie)
    clip.filepath = str(tmp_path / "gone.mp4")
    assert problem_of_footage(form) == f"The footage is not there: {tmp_path / 'gone.mp4'}"
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(b"nothing that moves")
    choose_clip(form, damaged)
    assert chosen_footage(form) is None
    assert problem_of_footage(form) == f"Blender cannot read the file of this movie clip: {damaged}"


@pytest.mark.parametrize("scene_rate", [24, 60])
def test_the_imports_own_clip_of_another_rate_runs_by_the_clock(form, movie, scene_rate):
    """Blender shows one frame a scene frame, so the import animates the start frame."""
    scene = form.id_data
    scene.render.fps, scene.frame_start = scene_rate, 5
    camera = bpy.data.cameras.new("c")
    add_backdrop(camera, movie, (64, 36), 30.0, scene.render, 5)
    form.source, form.clip = "CLIP", camera.background_images[0].clip
    assert problem_of_footage(form) == ""
    for frame in (5, 40):  # whatever frame is shown now
        scene.frame_set(frame)
        footage = chosen_footage(form)
        assert (footage.origin, footage.clock) == (5, scene_rate)
        assert footage.rate == pytest.approx(30.0)
    form.part, scene.frame_start, scene.frame_end = "SCENE", 5 + scene_rate // 2, 4 + scene_rate
    span = chosen_span(form)
    assert abs(span.frames[0] - 15) <= 1
    assert abs(span.frames[1] - 29) <= 1
    for frame, index in zip((scene.frame_start, scene.frame_end), span.frames, strict=True):
        scene.frame_set(frame)
        assert abs(frame - form.clip.frame_start - index) <= 1  # what Blender shows there
    assert span.start_frame == 5
    form.part = "ALL"
    assert chosen_span(form).start_frame == 5


def test_a_movie_clip_that_is_animated_in_another_way(form, movie):
    clip = choose_clip(form, movie)
    for frame, start in ((1, 1), (20, 5), (40, 100)):
        clip.frame_start = start
        clip.keyframe_insert("frame_start", frame=frame)
    assert problem_of_footage(form).startswith("The start frame of this movie clip is animated")


def test_a_movie_clip_relative_to_the_file(form, movie, tmp_path):
    choose_clip(form, movie)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    form = bpy.context.scene.recover_motion
    form.clip.filepath = "//walk.mp4"
    assert footage_path(form) == movie
    assert problem_of_footage(form) == ""
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))
    form = bpy.context.scene.recover_motion
    assert (form.source, form.clip.name) == ("CLIP", "walk.mp4")  # the form's clip is saved with it


def test_people_are_known_for_the_clip_that_they_were_asked_for(form, movie):
    """The form may have been changed while the backend looked."""
    form.footage = str(movie)
    asked = job_form.clip_of(form) | {"out": "somewhere", "job": "1"}
    form.part, form.start = "TIMES", 0.5
    found = [{"person": 2, "start": 0.0, "end": 1.0, "coverage": 0.5, "thumbnail": "/p.png"}]
    job_form.list_people(form, found, asked)
    assert not job_form.knows_people(form)
    assert job_form.chosen_people(form) == []
    form.part = "ALL"
    assert job_form.chosen_people(form) == [2]
    assert form.people[0].thumbnail == "/p.png"
    choose_clip(form, movie)  # the same file: the same people
    assert job_form.chosen_people(form) == [2]
    form.part = "SCENE"
    assert not job_form.knows_people(form)


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("walk.mp4", "walk"),
        ("take #2.mov", "take"),
        ("shot_####.png", "shot"),
        ("s.%04d.png", "s"),
        ("##.png", "clip"),
    ],
)
def test_a_clip_is_called_as_the_backend_calls_it(name, clip):
    assert job_form.clip_name(Path("/a") / name) == clip
