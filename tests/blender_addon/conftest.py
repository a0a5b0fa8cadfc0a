# SPDX-License-Identifier: GPL-3.0-or-later
"""The add-on as Blender would find it: staged as the package `recover_motion`, with the open body in it.

Nothing here needs torch or the backend, so that the tests run in the Python of a bpy wheel. Modules
that need only numpy are tested without bpy too.
"""

import importlib
import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import bpy

_REPOSITORY = Path(__file__).parents[2]
_OPEN_BODY = _REPOSITORY / "backend" / "fasthmr" / "body" / "open_body.npz"
_SCRATCH = Path(tempfile.mkdtemp(prefix="recover_motion_tests_"))

# Set before bpy is imported for the first time: the user's own Blender settings are left alone.
os.environ["BLENDER_USER_RESOURCES"] = str(_SCRATCH / "blender")

sys.path.insert(0, str(Path(__file__).parent))  # smpl_reference
sys.path.insert(0, str(_SCRATCH))  # recover_motion


def _stage() -> None:
    package = _SCRATCH / "recover_motion"
    shutil.copytree(
        _REPOSITORY / "blender_addon", package, ignore=shutil.ignore_patterns("__pycache__", "bodies")
    )
    if _OPEN_BODY.is_file():
        (package / "bodies").mkdir()
        shutil.copy(_OPEN_BODY, package / "bodies" / "open_body.npz")


_stage()
importlib.invalidate_caches()  # Python may have looked into the folder a moment before the package was there

# these come from the folders above
from smpl_reference import BodyArrays, sphere_body, write_motion  # noqa: E402

_exit_status = 0


def pytest_sessionfinish(exitstatus: int) -> None:
    global _exit_status
    _exit_status = int(exitstatus)


def pytest_unconfigure() -> None:
    shutil.rmtree(_SCRATCH, ignore_errors=True)
    # Blender 4.2 as a module ends with the module object. Where something still holds that when Python goes,
    # C++'s exit handlers free the panels, ask a Python that is gone for its lock (SpaceType's destructor,
    # bpy_class_free), and the process crashes with all tests passed. 4.5 waits for ever for a thread of its
    # own (GlobalState's destructor) once Rigify was on. Reports are written by now.
    if (bpy := sys.modules.get("bpy")) is not None and bpy.app.version < (5, 0):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_status)


def _imports_blender(path: Path) -> bool:
    return "\nimport bpy\n" in path.read_text(encoding="utf-8")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what needs no Blender where it ran in another Blender with this very Python."""
    is_test = collection_path.name.startswith("test_") and collection_path.suffix == ".py"
    if is_test and os.environ.get("FASTHMR_SAME_PYTHON_AS") and not _imports_blender(collection_path):
        return True
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what hardly depends on Blender where it ran in another one with this very Python."""
    if os.environ.get("FASTHMR_SAME_PYTHON_AS"):
        left_out = [item for item in items if item.get_closest_marker("once")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_report_header() -> str | None:
    other = os.environ.get("FASTHMR_SAME_PYTHON_AS")
    if not other:
        return None
    return f"left out, as they ran with this Python in Blender {other}: files without bpy, tests marked once"


class _NeedsBlender(pytest.Module):
    """A test module that cannot even be imported where there is no bpy."""

    def collect(self):
        pytest.skip("needs Blender as a Python module (pip install bpy)", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if _imports_blender(module_path) and importlib.util.find_spec("bpy") is None:
        return _NeedsBlender.from_parent(parent, path=module_path)
    return None


@pytest.fixture(scope="session")
def synthetic_body_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A body of random shapes and weights, so that no symmetry can hide a mistake."""
    path = tmp_path_factory.mktemp("body") / "synthetic.npz"
    sphere_body(seed=7).save(path)
    return path


@pytest.fixture(scope="session")
def open_body_path() -> Path:
    """The open body inside the staged add-on."""
    path = _SCRATCH / "recover_motion" / "bodies" / "open_body.npz"
    if not path.is_file():
        pytest.skip("backend/fasthmr/body/open_body.npz is not there: run `python build.py body`")
    return path


@pytest.fixture(params=["synthetic", "open"])
def body(request: pytest.FixtureRequest) -> BodyArrays:
    """Each test that takes it runs with both bodies."""
    return BodyArrays.load(request.getfixturevalue(f"{request.param}_body_path"))


@pytest.fixture
def scene() -> Iterator["bpy.types.Scene"]:
    """The scene of an empty file, at 30 frames per second."""
    import bpy

    bpy.ops.wm.read_factory_settings(use_empty=True)
    bpy.context.scene.render.fps = 30
    yield bpy.context.scene
    bpy.ops.wm.read_factory_settings(use_empty=True)


@pytest.fixture
def quick_scene() -> Iterator["bpy.types.Scene"]:
    """As `scene`, in a sixth of the time: the preferences and Blender's own add-ons stay as they are."""
    import bpy

    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    bpy.context.scene.render.fps = 30
    yield bpy.context.scene
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


@pytest.fixture
def form(scene, tmp_path, monkeypatch, open_body_path):
    """The add-on, switched on, with a worker that is no network; gives the scene's form."""
    import recover_motion

    ready = write_motion(tmp_path / "ready.npz", count=12)
    monkeypatch.setenv("FAKE_WORKER_MOTION", str(ready))
    monkeypatch.setenv("FASTHMR_COMMAND", f"{sys.executable} {Path(__file__).with_name('fake_worker.py')}")
    recover_motion.register()
    yield scene.recover_motion
    recover_motion.unregister()
