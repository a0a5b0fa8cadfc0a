# SPDX-License-Identifier: GPL-3.0-or-later
"""The preferences' buttons, end to end in Blender, with a package index on disk; and what is drawn."""

import shutil
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
import recover_motion
from fake_index import FakeIndex
from recover_motion import (
    backend_setup,
    installation,
    job_form,
    model_menus,
    panel,
    preferences,
    session,
    settings,
)
from recover_motion.backend_folder import STAMP
from recover_motion.backend_setup import State, Status
from recover_motion.jobs import Job

FAKE = Path(__file__).with_name("fake_worker.py")

pytestmark = [pytest.mark.bpy, pytest.mark.once]


@pytest.fixture
def prefs(scene, tmp_path, monkeypatch):
    """The add-on, enabled, with preferences of its own and no backend anywhere.

    After `scene`, whose empty file comes with fresh preferences.
    """
    monkeypatch.delenv("FASTHMR_COMMAND", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    addon = bpy.context.preferences.addons.new()
    addon.module = "recover_motion"
    recover_motion.register()
    addon.preferences.install_folder = str(tmp_path / "ein Ordner é")
    installation.look_again()
    yield addon.preferences
    recover_motion.unregister()
    bpy.context.preferences.addons.remove(addon)
    bpy.context.preferences.system.use_online_access = False


@pytest.fixture
def index(tmp_path, monkeypatch):
    """An extension as `build.py package` stages it, whose packages come from a folder."""
    index = FakeIndex(tmp_path / "the index")
    wheels = backend_setup.WHEELS
    wheels.mkdir()
    shutil.copy(index.wheel, wheels)
    real = backend_setup.REQUIREMENTS.read_bytes()
    shutil.copy(index.requirements, backend_setup.REQUIREMENTS)
    for name, value in index.variables.items():
        monkeypatch.setenv(name, value)
    yield index
    shutil.rmtree(wheels)
    backend_setup.REQUIREMENTS.write_bytes(real)


class Layout:
    """Takes what a layout takes, keeps what would be seen, and refuses what Blender does not know."""

    def __init__(self, seen=None):
        self.seen = [] if seen is None else seen

    def _inside(self, *arguments, **options):
        return Layout(self.seen)

    box = row = column = split = _inside

    def label(self, *, text, icon="NONE", translate=True):
        self.seen.append(text)

    def prop(self, data, name, *, text=None, placeholder="", expand=False, icon="NONE"):
        assert name in data.bl_rna.properties
        self.seen.append(f"[{data.bl_rna.properties[name].name}]")

    def progress(self, *, factor, text, **options):
        assert 0.0 <= factor <= 1.0
        self.seen.append(text)

    def operator(self, name, *, text=None, icon="NONE", translate=True, emboss=True):
        known = getattr(bpy.ops.recover_motion, name.partition(".")[2]).get_rna_type()
        self.seen.append(f"<{known.name if text is None else text}>")
        return SimpleNamespace()

    def menu(self, name, *, text):
        assert hasattr(bpy.types, name)
        self.seen.append(f"<{text}>")

    def template_list(self, *arguments, **options):
        self.seen.append("list")


def context():
    """A context to draw in; without a window Blender's own has no region, and a scale of 0."""
    system = SimpleNamespace(ui_scale=1.0, bl_rna=bpy.context.preferences.system.bl_rna)
    return SimpleNamespace(
        region=SimpleNamespace(width=9000),
        preferences=SimpleNamespace(system=system),
        scene=bpy.context.scene,
    )


def drawn(prefs):
    """What the preferences show, a line each."""
    layout = Layout()
    preferences._draw_backend(layout, context(), prefs)
    preferences._draw_models(layout, context(), prefs)
    return layout.seen


def finish(seconds=900.0):
    deadline = time.monotonic() + seconds
    while installation.busy():
        assert time.monotonic() < deadline, installation.setup.message
        installation._poll()
        time.sleep(0.02)


def test_from_nothing_to_ready_and_away_again(prefs, index, monkeypatch):
    folder = settings.install_folder()
    assert installation.condition().status is Status.NOT_INSTALLED
    seen = drawn(prefs)
    assert seen[0] == "Not installed: The backend is not installed yet."
    assert "<Install Backend>" in seen
    assert "[Allow Online Access]" in seen

    assert "turn on Allow Online Access" in installation.can_install()
    assert not bpy.ops.recover_motion.install_backend.poll()
    assert not bpy.ops.recover_motion.remove_backend.poll()
    bpy.context.preferences.system.use_online_access = True
    assert "[Allow Online Access]" not in drawn(prefs)
    assert bpy.ops.recover_motion.install_backend() == {"FINISHED"}

    assert installation.setup.state is State.DONE
    assert drawn(prefs)[0] == f"The backend 0.1.0 is ready. It is in {folder}."
    command, problem = session.found_backend()
    assert not problem
    assert Path(command).is_relative_to(folder)
    assert [(check.name, check.ok) for check in session.checks] == [
        ("torch", True),
        ("body", True),
        ("preview", False),
    ]
    assert "preview: no OpenGL" in drawn(prefs)

    # the installed command is what jobs start; its greeting tells another version
    assert bpy.ops.recover_motion.check_backend() == {"FINISHED"}
    assert session.job.message == "The backend has a problem: body."
    assert "version 0.1, this add-on is 0.1.0" in session.version_problem()
    assert "version 0.1, this add-on" in drawn(prefs)[0]
    said = installation.report()
    for words in (bpy.app.version_string, "version 0.1", str(folder), "PROBLEM  body: missing", "doctor"):
        assert words in said
    assert bpy.ops.recover_motion.copy_report() == {"FINISHED"}

    assert bpy.ops.recover_motion.remove_backend() == {"FINISHED"}
    assert not folder.exists()
    assert session.checks == []
    assert "not installed" in session.found_backend()[1]
    assert drawn(prefs)[0].startswith("Not installed")


def test_while_it_installs_nothing_else_starts_and_disabling_ends_it(prefs, index, tmp_path):
    bpy.context.preferences.system.use_online_access = True
    installation.begin("install")
    assert bpy.app.timers.is_registered(installation._poll)
    seen = drawn(prefs)
    assert seen[0] == "Making the environment"
    assert "<>" in seen  # the cross
    assert not bpy.ops.recover_motion.install_backend.poll()
    assert not bpy.ops.recover_motion.check_backend.poll()
    assert "being installed" in session.found_backend()[1]
    with pytest.raises(session.BackendProblem, match="being installed"):
        session.start(Job("doctor", {}), None)
    start = time.monotonic()
    installation._poll()
    assert time.monotonic() - start < 1.0
    deadline = time.monotonic() + 60.0
    while not (settings.install_folder() / STAMP).exists():
        assert time.monotonic() < deadline
        installation._poll()
    assert bpy.ops.recover_motion.cancel_setup() == {"FINISHED"}
    assert installation.setup.state is State.CANCELLED
    assert installation.condition().status is Status.INTERRUPTED
    seen = drawn(prefs)
    assert seen[0].startswith("Installed in part: ")
    assert "<Continue Installation>" in seen
    assert session.held == ""

    installation.begin("install")
    process = installation.setup._process
    recover_motion.unregister()
    assert process.poll() is not None
    assert not bpy.app.timers.is_registered(installation._poll)
    recover_motion.register()
    installation.begin("remove")
    finish()
    assert installation.setup.state is State.DONE
    assert not settings.install_folder().exists()


def test_a_failed_step_is_drawn_and_reported(prefs, index, monkeypatch, tmp_path):
    bpy.context.preferences.system.use_online_access = True
    settings.install_folder().mkdir()
    (settings.install_folder() / "photo.jpg").touch()
    installation.look_again()
    assert drawn(prefs)[0].startswith("Not ours: There is something else in")
    assert not bpy.ops.recover_motion.install_backend.poll()
    installation.begin("install")  # as if the file had come in between
    finish()
    assert "was not made by this add-on" in " ".join(drawn(prefs))
    assert "was not made by this add-on" in installation.report()


def test_without_the_package_the_reason_says_what_to_use(prefs):
    bpy.context.preferences.system.use_online_access = True
    assert "build.py package" in installation.can_install()
    assert not bpy.ops.recover_motion.install_backend.poll()


def test_an_existing_folder_is_used_when_there_is_a_backend_in_it(prefs, tmp_path):
    with pytest.raises(RuntimeError, match="There is no backend in"):
        bpy.ops.recover_motion.use_backend_folder(directory=str(tmp_path))
    assert prefs.backend == ""
    command = (
        tmp_path / "repo" / ".venv" / ("Scripts/fasthmr.exe" if sys.platform == "win32" else "bin/fasthmr")
    )
    command.parent.mkdir(parents=True)
    command.touch()
    assert bpy.ops.recover_motion.use_backend_folder(directory=str(tmp_path / "repo")) == {"FINISHED"}
    assert session.found_backend() == (str(command), "")
    assert drawn(prefs)[0] == f"In use: {command}"
    command.unlink()
    installation.look_again()
    assert "There is no backend in" in drawn(prefs)[0]


def test_the_device_goes_into_each_recovery(prefs, tmp_path, monkeypatch):
    monkeypatch.setenv("FASTHMR_COMMAND", f"{sys.executable} {FAKE}")
    sent = []
    monkeypatch.setattr(Job, "begin", lambda job, worker: sent.append(job.params) or job.fail("enough"))
    for choice in ("AUTO", "CUDA"):
        prefs.device = choice
        for method in ("recover", "people"):
            session.run(Job(method, {}))
    session.run(Job("recover", {"device": "cpu"}))
    assert sent == [{}, {}, {"device": "cuda"}, {}, {"device": "cpu"}]


def test_models_and_bodies_are_offered_and_sent(prefs, scene, tmp_path):
    form = scene.recover_motion
    layout = Layout()
    model_menus.draw_choices(layout, form)
    assert layout.seen == []  # nothing to choose, nothing drawn
    models = tmp_path / "models"
    (models / "hmr2").mkdir(parents=True)
    (models / "hmr2" / "epoch=35.ckpt").touch()
    (models / "SMPL_NEUTRAL.pkl").touch()
    prefs.models = str(models)
    assert "Found: SMPL_NEUTRAL.pkl, HMR2.0, epoch=35.ckpt" in drawn(prefs)
    model_menus.draw_choices(layout, form)
    assert layout.seen == ["Model", "<Built-in>", "Body", "<Open Body>"]
    for menu, count in (("models", 2), ("bodies", 2)):
        entries = Layout()
        getattr(model_menus, f"RECOVER_MOTION_MT_{menu}").draw(SimpleNamespace(layout=entries), context())
        assert len(entries.seen) == count

    (tmp_path / "shots").mkdir()
    (tmp_path / "shots" / "0001.png").touch()
    form.footage = str(tmp_path / "shots")
    assert not {"model", "checkpoint", "body"} & set(job_form.request_of(form))
    for one in model_menus.found():
        bpy.ops.recover_motion.choose_model(name=one.name, is_body=one.kind == "body")
    request = job_form.request_of(form)
    assert request["model"] == "hmr2"
    assert request["checkpoint"] == str(models / "hmr2" / "epoch=35.ckpt")
    assert request["body"] == str(models / "SMPL_NEUTRAL.pkl")
    assert job_form.problem_of(form) == ""

    prefs.models = str(tmp_path / "another machine")
    assert "hmr2/epoch=35.ckpt" in job_form.problem_of(form)
    layout = Layout()
    model_menus.draw_choices(layout, form)
    assert layout.seen[1] == "<hmr2: hmr2/epoch=35.ckpt (missing)>"


def test_the_panel_tells_another_version(prefs, scene, monkeypatch):
    monkeypatch.setenv("FASTHMR_COMMAND", f"{sys.executable} {FAKE}")
    assert bpy.ops.recover_motion.check_backend() == {"FINISHED"}
    layout = Layout()
    panel.RECOVER_MOTION_PT_main.draw(SimpleNamespace(layout=layout), context())
    assert any("The backend is version 0.1, this add-on is 0.1.0" in line for line in layout.seen)


def test_every_licence_is_one_line_and_names_whose_it_is():
    text = "\n".join(preferences._LICENCES)
    for words in ("HMR2.0", "CameraHMR", "SMPL", "commercial"):
        assert words in text
    assert all(len(line) < 110 for line in preferences._LICENCES)
