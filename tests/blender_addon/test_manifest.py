# SPDX-License-Identifier: GPL-3.0-or-later
"""The extension as a package: Blender's own tool accepts it, installs it, and it works from there."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import bpy
import pytest

pytestmark = pytest.mark.bpy

ADDON = Path(__file__).parents[2] / "blender_addon"
TOOL = Path(bpy.utils.system_resource("SCRIPTS"), "addons_core/bl_pkg/cli/blender_ext.py")


def tool(*arguments):
    """Run Blender's extension tool; returns what it said."""
    done = subprocess.run(
        [sys.executable, str(TOOL), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """The zip, built by Blender's tool."""
    folder = tmp_path_factory.mktemp("package")
    tool("build", "--source-dir", ADDON, "--output-dir", folder)
    (package,) = folder.glob("recover_motion-*.zip")
    return package


def test_the_manifest_is_valid(package):
    tool("validate", ADDON)
    tool("validate", package)


def test_the_manifest_says_what_it_must():
    manifest = tomllib.loads((ADDON / "blender_manifest.toml").read_text("utf-8"))
    assert manifest["id"] == "recover_motion"
    assert manifest["blender_version_min"] == "4.2.0"
    assert manifest["license"] == ["SPDX:GPL-3.0-or-later"]
    assert list(manifest["permissions"]) == ["files", "network", "clipboard"]
    # the list that Blender's own site goes by
    assert set(manifest["tags"]) <= {"Animation", "Import-Export", "Pipeline", "Rigging", "Tracking"}


def test_the_package_holds_the_whole_add_on_and_nothing_else(package):
    with zipfile.ZipFile(package) as archive:
        packed = set(archive.namelist())
    here = {
        path.relative_to(ADDON).as_posix()
        for path in ADDON.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith(".")
    }
    assert {"__init__.py", "blender_manifest.toml", "LICENSE", "panel.py"} <= packed
    assert packed == here


def test_every_file_says_its_licence():
    for path in ADDON.glob("*.py"):
        assert path.read_text("utf-8").startswith("# SPDX-License-Identifier: GPL-3.0-or-later\n"), path.name
    assert "GNU GENERAL PUBLIC LICENSE\n                       Version 3" in (ADDON / "LICENSE").read_text(
        "utf-8"
    )


# What an artist does with the zip: install it, set the backend's folder, check it; in a Blender of its own.
INSTALL = """
import json, sys, bpy
zip_path, backend = sys.argv[1:]
bpy.ops.extensions.package_install_files(filepath=zip_path, repo="user_default", enable_on_install=True)
name = "bl_ext.user_default.recover_motion"
preferences = bpy.context.preferences.addons[name].preferences
session = sys.modules[name + ".session"]
before = session.found_backend()
preferences.backend = backend
after = session.found_backend()
bpy.ops.recover_motion.check_backend()
print("ANSWER" + json.dumps({
    "before": before,
    "after": after,
    "checks": [(check.name, check.ok) for check in session.checks],
    "message": bpy.context.window_manager.recover_motion.message,
}))
bpy.ops.preferences.addon_disable(module=name)
assert not hasattr(bpy.types.Scene, "recover_motion")
"""


@pytest.mark.skipif(os.name == "nt", reason="the stand-in for the backend's command is a shell script")
def test_the_package_installs_and_finds_the_backend(package, tmp_path):
    command = tmp_path / "repo" / ".venv" / "bin" / "fasthmr"
    command.parent.mkdir(parents=True)
    fake = Path(__file__).with_name("fake_worker.py")
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{fake}" "$@"\n')
    command.chmod(0o755)
    script = tmp_path / "install.py"
    script.write_text(INSTALL)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FASTHMR")}
    environment |= {"BLENDER_USER_RESOURCES": str(tmp_path / "user"), "PATH": os.defpath}
    done = subprocess.run(
        [sys.executable, str(script), str(package), str(tmp_path / "repo")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout.partition("ANSWER")[2].splitlines()[0])
    assert "python build.py setup" in answer["before"][1]
    assert answer["after"] == [str(command), ""]
    assert answer["checks"] == [["torch", True], ["body", False]]
    assert answer["message"] == "The backend has a problem: body."


def test_the_listing_of_a_repository_is_of_this_package(package, tmp_path):
    shutil.copy(package, tmp_path)
    tool("server-generate", f"--repo-dir={tmp_path}", "--html")
    index = json.loads((tmp_path / "index.json").read_text("utf-8"))
    assert index["version"] == "v1"
    (entry,) = index["data"]
    manifest = tomllib.loads((ADDON / "blender_manifest.toml").read_text("utf-8"))
    same = (
        "schema_version",
        "id",
        "name",
        "version",
        "tagline",
        "license",
        "permissions",
        "blender_version_min",
    )
    assert {name: entry[name] for name in same} == {name: manifest[name] for name in same}
    assert entry["archive_url"] == f"./{package.name}"
    assert entry["archive_size"] == package.stat().st_size
    assert entry["archive_hash"] == "sha256:" + hashlib.sha256(package.read_bytes()).hexdigest()
    assert package.name in (tmp_path / "index.html").read_text("utf-8")


# What somebody does with the repository: add it, look what is in it, install, in a Blender of its own.
ADD_REPOSITORY = """
import sys, bpy
bpy.context.preferences.system.use_online_access = True  # asked for even where it is a file
repository = bpy.context.preferences.extensions.repos.new(
    name="Recover Motion", module="motion_repo", remote_url=sys.argv[1]
)
number = list(bpy.context.preferences.extensions.repos).index(repository)
bpy.ops.extensions.repo_sync(repo_index=number)
bpy.ops.extensions.package_install(repo_index=number, pkg_id="recover_motion", enable_on_install=True)
name = "bl_ext.motion_repo.recover_motion"
assert name in bpy.context.preferences.addons
print("INSTALLED " + sys.modules[name].__file__)
bpy.ops.preferences.addon_disable(module=name)
"""


def test_blender_installs_from_the_repository(package, tmp_path):
    repository = tmp_path / "a repository"
    repository.mkdir()
    shutil.copy(package, repository)
    tool("server-generate", f"--repo-dir={repository}")
    script = tmp_path / "add.py"
    script.write_text(ADD_REPOSITORY)
    done = subprocess.run(
        [sys.executable, str(script), (repository / "index.json").as_uri()],
        env=os.environ | {"BLENDER_USER_RESOURCES": str(tmp_path / "user")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    place = Path(done.stdout.partition("INSTALLED ")[2].splitlines()[0])
    assert place == tmp_path / "user/extensions/motion_repo/recover_motion/__init__.py"
