# SPDX-License-Identifier: GPL-3.0-or-later
"""form_panel.py and panel.py: all that can be chosen is drawn, in both editors by the same code."""

from pathlib import Path

import bpy
import pytest
import recover_motion
from recover_motion import form_panel, job_form, progress_panel, session
from recover_motion.chosen_footage import Footage
from recover_motion.footage_range import Span

pytestmark = pytest.mark.bpy


@pytest.fixture
def form(scene, monkeypatch):
    recover_motion.register()
    for module in (form_panel, progress_panel, recover_motion.panel):
        monkeypatch.setattr(module, "write", lambda layout, context, text, icon="": layout.said.append(text))
    monkeypatch.setattr(session, "_found", (float("inf"), None, ("fasthmr", "")))
    monkeypatch.setattr(session, "found_backend", lambda: ("fasthmr", ""))
    yield scene.recover_motion
    recover_motion.unregister()


class Paper:
    """A layout that takes note of what is drawn, and checks that it is there."""

    def __init__(self):
        self.drawn = []
        self.said = []
        self.inactive = []
        self.active = True

    def row(self, **_):
        return self

    column = row

    def label(self, text="", **_):
        self.said.append(text)

    def prop(self, data, name, **_):
        assert name in data.bl_rna.properties
        self.drawn.append(name)

    def template_ID(self, data, name, **_):
        self.prop(data, name)

    def template_list(self, kind, _, data, name, active, index, **__):
        assert hasattr(bpy.types, kind)
        assert name in data.bl_rna.properties
        assert index in active.bl_rna.properties
        self.drawn.append(name)

    def template_icon(self, icon, scale=1.0):
        self.drawn.append(icon)

    def operator(self, name, **_):
        module, _, function = name.partition(".")
        assert getattr(getattr(bpy.ops, module), function).get_rna_type()
        self.drawn.append(name)
        return type("Properties", (), {})()


def draw(kind):
    paper = Paper()
    panel = getattr(bpy.types, f"RECOVER_MOTION_PT_{kind}")
    panel.draw(type("Stand", (), {"layout": paper})(), bpy.context)
    return paper


@pytest.fixture
def movie(tmp_path: Path) -> Path:
    path = tmp_path / "walk.mp4"
    frames = [b"FRAME\n" + bytes([4 * i]) * (64 * 36) + bytes([128]) * (64 * 36 // 2) for i in range(60)]
    path.write_bytes(b"YUV4MPEG2 W64 H36 F30:1 Ip A1:1 C420jpeg\n" + b"".join(frames))
    return path


def test_every_choice_of_the_form_is_drawn_somewhere(form, movie):
    (movie.parent / "s_01.png").touch()
    form.footage, form.part, form.who = str(movie.parent / "s_01.png"), "TIMES", "CHOSEN"
    found = [{"person": 1, "start": 0.0, "end": 1.0, "coverage": 0.5}]
    job_form.list_people(form, found, job_form.clip_of(form))
    drawn = set(draw("main").drawn) | set(draw("options").drawn)
    form.source = "CLIP"
    drawn |= set(draw("main").drawn)
    hidden = {"rna_type", "name", "people_clip", "people_index", "model", "body"}  # the last two have menus
    assert {name for name in drawn if "." not in name} == set(form.bl_rna.properties.keys()) - hidden
    assert {
        "recover_motion.recover",
        "recover_motion.find_people",
        "recover_motion.tick_people",
    } <= drawn


def test_both_editors_have_the_same_panels(form, movie):
    form.footage = str(movie)
    for kind in ("main", "options"):
        one, other = (getattr(bpy.types, f"RECOVER_MOTION_PT_{name}") for name in (kind, f"clip_{kind}"))
        assert (one.bl_space_type, other.bl_space_type) == ("VIEW_3D", "CLIP_EDITOR")
        assert one.draw is other.draw
        assert one.bl_label == other.bl_label
        assert draw(kind).drawn == draw(f"clip_{kind}").drawn
    assert bpy.types.RECOVER_MOTION_PT_clip_options.bl_parent_id == "RECOVER_MOTION_PT_clip_main"


def test_the_clip_of_the_editor_is_offered_until_it_is_chosen(form, movie):
    clip = bpy.data.movieclips.load(str(movie))
    assert "recover_motion.use_clip" not in draw("main").drawn  # as in a 3D view
    with bpy.context.temp_override(edit_movieclip=clip):
        assert draw("clip_main").drawn[0] == "recover_motion.use_clip"
        assert bpy.ops.recover_motion.use_clip() == {"FINISHED"}
        assert "recover_motion.use_clip" not in draw("clip_main").drawn
    assert (form.source, form.clip) == ("CLIP", clip)
    assert draw("main").said[0] == "64 x 36, 30 fps, 60 frames, 2.0 s"


def test_what_was_understood_is_said(form, movie):
    clip = bpy.data.movieclips.load(str(movie))
    form.source, form.clip, form.part = "CLIP", clip, "SCENE"
    form.id_data.frame_start, form.id_data.frame_end = 11, 40
    assert "Clip frames 11 to 40 (1.00 s)" in draw("main").said
    assert "Motion at scene frames 11 to 40" in draw("main").said
    form.id_data.render.fps = (
        60  # Blender shows the clip at half its speed then; the motion is as fast as it was
    )
    assert "Clip frames 11 to 40 (1.00 s)" in draw("main").said
    assert "Motion at scene frames 11 to 69" in draw("main").said
    form.id_data.frame_start, form.id_data.frame_end = 111, 140
    assert any("show nothing of the clip" in line for line in draw("main").said)
    assert not bpy.ops.recover_motion.recover.poll()
    form.source, form.part = "FILE", "CLIP"
    form.footage = str(movie)
    assert any("Only a movie clip has a range" in line for line in draw("main").said)


def test_facts_are_those_that_are_known():
    path = Path("/walk.mp4")
    nothing = Footage(path, False, None, None, None, None, 1, 24.0)
    assert form_panel.facts_of(nothing) == ""
    assert form_panel.words_of(Span(1.5, None), nothing) == "From 1.50 s to the end"
    assert form_panel.words_of(Span(None, 2.0), nothing) == "0.00 to 2.00 s of the clip"
    ntsc = Footage(path, False, 30000 / 1001, (1920, 1080), 300, (0, 299), 1, 30000 / 1001)
    assert form_panel.facts_of(ntsc) == "1920 x 1080, 29.97 fps, 300 frames, 10.0 s"
    assert form_panel.words_of(Span(0.1, 0.5, (3, 14)), ntsc) == "Clip frames 4 to 15 (0.40 s)"


def test_a_person_is_drawn_with_number_and_times(form, monkeypatch):
    monkeypatch.setattr(form_panel.person_pictures, "icon_of", lambda path: 77 if path else 0)
    asked = {"footage": "walk.mp4"}
    found = [
        {"person": 3, "start": 0.25, "end": 4.0, "coverage": 0.5, "thumbnail": "/p.png"},
        {"person": 4, "start": 0.0, "end": 1.0, "coverage": 0.5, "thumbnail": None},
    ]
    job_form.list_people(form, found, asked)
    papers = [Paper(), Paper()]
    for paper, person in zip(papers, form.people, strict=True):
        form_panel.RECOVER_MOTION_UL_people.draw_item(None, bpy.context, paper, form, person, 0, form, "", 0)
    assert papers[0].drawn == ["chosen", 77]
    assert papers[0].said == ["Person 3", "0.2 to 4.0 s"]
    assert papers[1].drawn == ["chosen"]
