# SPDX-License-Identifier: Apache-2.0
"""The repository that `build.py package` makes, with a stand-in for Blender's tool.

That Blender's own tool lists the package as it is, and that Blender installs from the listing, is seen by
tests/blender_addon/test_manifest.py.
"""

from __future__ import annotations

import argparse
import ast
import json
from pathlib import Path

import pytest

import build
import build_repository
from build_repository import make_repository, web_address, with_base

# As Blender 4.2 to 5.2 write it, without what the manifest says.
LISTING = {
    "version": "v1",
    "blocklist": [],
    "data": [
        {
            "schema_version": "1.0.0",
            "id": "recover_motion",
            "archive_url": "./recover_motion-0.1.0.zip",
            "archive_size": 7,
            "archive_hash": "sha256:00",
        }
    ],
}


class Tool:
    """Stands for Blender's tool."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.commands: list[list[str]] = []

    def __call__(self, what: str, command: build_repository.Command) -> None:
        self.commands.append([str(word) for word in command])
        if self.fails:
            raise build.SetupError(f"{what} failed")
        folder = Path(self.commands[-1][-2].partition("=")[2])
        assert [one.name for one in folder.iterdir()] == ["recover_motion-0.1.0.zip"]
        (folder / "index.json").write_text(json.dumps(LISTING))
        (folder / "index.html").write_text("<a>")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    path = tmp_path / "dist/recover_motion-0.1.0.zip"
    path.parent.mkdir()
    path.write_bytes(b"package")
    return path


def test_every_old_python_can_read_the_file() -> None:
    source = Path(build_repository.__file__).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 8))


def test_the_folder_holds_the_package_and_its_listing_and_nothing_older(package: Path) -> None:
    tool, folder = Tool(), package.parent / "repository"
    folder.mkdir()
    (folder / "recover_motion-0.0.9.zip").touch()
    index = make_repository(package, folder, ["blender", "--command", "extension"], tool)
    assert index == folder / "index.json"
    assert sorted(one.name for one in folder.iterdir()) == [
        "index.html",
        "index.json",
        "recover_motion-0.1.0.zip",
    ]
    assert (folder / package.name).read_bytes() == b"package"
    assert json.loads(index.read_text()) == LISTING
    assert tool.commands[0][:4] == ["blender", "--command", "extension", "server-generate"]
    assert tool.commands[0][-1] == "--html"
    assert sorted(one.name for one in package.parent.iterdir()) == [package.name, "repository"]


def test_a_repository_that_is_there_stays_when_the_tool_fails(package: Path) -> None:
    folder = package.parent / "repository"
    make_repository(package, folder, [], Tool())
    with pytest.raises(build.SetupError, match="Blender's listing failed"):
        make_repository(package, folder, [], Tool(fails=True))
    assert (folder / "index.json").is_file()


@pytest.mark.parametrize("base", ["https://example.org/blender", "https://example.org/blender/"])
def test_the_package_may_lie_elsewhere_on_the_web(package: Path, base: str) -> None:
    index = make_repository(package, package.parent / "repository", [], Tool(), base)
    listed = json.loads(index.read_text())
    url = listed["data"][0].pop("archive_url")
    assert url == "https://example.org/blender/recover_motion-0.1.0.zip"
    rest = json.loads(json.dumps(LISTING))
    del rest["data"][0]["archive_url"]
    assert listed == rest


def test_names_that_are_escaped_already_are_not_escaped_twice() -> None:
    listing = json.dumps({"data": [{"archive_url": "./a%20b.zip"}]})
    assert json.loads(with_base(listing, "file:///srv"))["data"][0]["archive_url"] == "file:///srv/a%20b.zip"


@pytest.mark.parametrize("text", ["", "example.org", "ftp://example.org", "https://", "https://a b"])
def test_what_is_no_web_address_is_a_bad_call(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        web_address(text)
    with pytest.raises(SystemExit) as stopped:
        build.main(["package", "--url-base", text])
    assert stopped.value.code == 2
    assert "is no web address" in capsys.readouterr().err


def test_the_verb_packages_and_makes_the_repository(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = Tool()
    monkeypatch.delenv("BLENDER", raising=False)
    monkeypatch.setattr(build, "ROOT", package.parents[1])
    monkeypatch.setattr(build, "package_extension", lambda: package)
    monkeypatch.setattr(build, "extension_tool", lambda: [build.os.environ["BLENDER"], "extension"])
    monkeypatch.setattr(build, "must_run", tool)
    try:
        assert build.main(["package", "--blender", "/opt/blender", "--url-base", "https://example.org"]) == 0
    finally:
        build.os.environ.pop("BLENDER", None)
    assert tool.commands[0][:2] == ["/opt/blender", "extension"]
    said = capsys.readouterr().out
    assert "recover_motion-0.1.0.zip" in said
    assert str(Path("dist/repository")) in said
    assert "https://example.org/" in (package.parent / "repository/index.json").read_text()


def test_the_verb_needs_no_options(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "ROOT", package.parents[1])
    monkeypatch.setattr(build, "package_extension", lambda: package)
    monkeypatch.setattr(build, "extension_tool", lambda: ["blender"])
    monkeypatch.setattr(build, "must_run", Tool())
    assert build.main(["package"]) == 0
    listed = json.loads((package.parent / "repository/index.json").read_text())
    assert listed["data"][0]["archive_url"] == "./recover_motion-0.1.0.zip"
