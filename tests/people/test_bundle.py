# SPDX-License-Identifier: Apache-2.0
"""The perception bundle: made from a wheel, found in its places, never half there."""

from __future__ import annotations

import hashlib
import subprocess
import zipfile
from pathlib import Path

import pytest

from fasthmr.errors import BadInput, MissingModel
from fasthmr.people import bundle


@pytest.fixture
def small_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel that carries two small "networks", whose hashes are expected."""
    wheel = tmp_path / "small.whl"
    sources = {}
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (bundle.SEARCH_NETWORK, bundle.LANDMARK_NETWORK):
            data = name.encode() * 1000
            archive.writestr(f"inside/{name}", data)
            sources[name] = (f"inside/{name}", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(bundle, "_SOURCES", sources)
    return wheel


def test_the_bundle_holds_the_networks_as_they_were(small_wheel: Path, tmp_path: Path) -> None:
    made = bundle.prepare_bundle(tmp_path / "new" / "out.task", small_wheel)
    search, landmarks = bundle.read_bundle(made)
    assert search == bundle.SEARCH_NETWORK.encode() * 1000
    assert landmarks == bundle.LANDMARK_NETWORK.encode() * 1000
    with zipfile.ZipFile(made) as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
    assert [path.name for path in made.parent.iterdir()] == ["out.task"]


def test_the_bundle_is_the_same_every_time(small_wheel: Path, tmp_path: Path) -> None:
    first = bundle.prepare_bundle(tmp_path / "a.task", small_wheel).read_bytes()
    assert bundle.prepare_bundle(tmp_path / "b.task", small_wheel).read_bytes() == first


def test_a_good_bundle_is_kept_and_a_damaged_one_made_again(small_wheel: Path, tmp_path: Path) -> None:
    out = bundle.prepare_bundle(tmp_path / "out.task", small_wheel)
    before = out.stat().st_mtime_ns
    assert bundle.prepare_bundle(out, tmp_path / "no such wheel").stat().st_mtime_ns == before
    good = out.read_bytes()
    out.write_bytes(good[: len(good) // 2])
    assert bundle.prepare_bundle(out, small_wheel).read_bytes() == good


@pytest.mark.parametrize("content", [b"", b"no zip", None])
def test_another_wheel_is_refused(
    small_wheel: Path, tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = tmp_path / "wrong.whl"
    if content is not None:
        wrong.write_bytes(content)
    with pytest.raises(BadInput, match=r"wrong\.whl"):
        bundle.prepare_bundle(tmp_path / "out.task", wrong)
    assert not (tmp_path / "out.task").exists()
    assert bundle.main([str(tmp_path / "out.task"), "--wheel", str(wrong)]) == 3
    assert "wrong.whl" in capsys.readouterr().err


def test_changed_networks_are_refused(small_wheel: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.whl"
    with zipfile.ZipFile(small_wheel) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name) + b"!")
    with pytest.raises(BadInput, match="is not the file"):
        bundle.prepare_bundle(tmp_path / "out.task", changed)


def test_pip_that_fails_is_told(
    small_wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_network(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "ERROR: no network\n")

    monkeypatch.setattr(subprocess, "run", no_network)
    assert bundle.main([str(tmp_path / "out.task")]) == 5
    told = capsys.readouterr()
    assert "no network" in told.err
    assert "--wheel" in told.err
    assert told.out == ""


def test_where_the_bundle_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(bundle.ENVIRONMENT_VARIABLE, raising=False)
    packaged = tmp_path / "package.task"
    monkeypatch.setattr(bundle, "packaged_bundle", lambda: packaged)
    with pytest.raises(MissingModel, match=r"build\.py setup"):
        bundle.find_bundle()
    packaged.touch()
    assert bundle.find_bundle() == packaged
    monkeypatch.setenv(bundle.ENVIRONMENT_VARIABLE, str(tmp_path / "my.task"))
    with pytest.raises(MissingModel, match=r"my\.task"):
        bundle.find_bundle()
    (tmp_path / "my.task").touch()
    assert bundle.find_bundle() == tmp_path / "my.task"


def test_a_damaged_bundle_is_told(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.task"
    damaged.write_bytes(b"PK nothing")
    with pytest.raises(MissingModel, match=r"damaged\.task.*build\.py setup"):
        bundle.read_bundle(damaged)
    with pytest.raises(MissingModel, match=r"nowhere\.task"):
        bundle.read_bundle(tmp_path / "nowhere.task")


def test_the_bundle_that_comes_along_is_the_one_of_its_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(bundle.ENVIRONMENT_VARIABLE, raising=False)
    assert bundle.find_bundle() == bundle.packaged_bundle()
    card = bundle.packaged_bundle().with_suffix(".md").read_text(encoding="utf-8")
    search, landmarks = bundle.read_bundle()
    assert hashlib.sha256(search).hexdigest() == bundle._SOURCES[bundle.SEARCH_NETWORK][1]
    for network in (search, landmarks):
        assert hashlib.sha256(network).hexdigest() in card
