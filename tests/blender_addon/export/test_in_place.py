# SPDX-License-Identifier: GPL-3.0-or-later
"""in_place: an export that fails leaves what was there, and nothing beside it."""

from pathlib import Path

import pytest
from recover_motion.export.in_place import folder_beside, keep_failed, move_into_place


def test_a_file_and_what_belongs_to_it_replace_earlier_ones(tmp_path):
    (tmp_path / "a.gltf").write_text("old")
    (tmp_path / "a.bin").write_text("old")
    with folder_beside(tmp_path / "a.gltf") as folder:
        (folder / "a.gltf").write_text("new")
        (folder / "a.bin").write_text("new")
        (folder / "textures").mkdir()
        (folder / "textures" / "skin.png").write_text("new")
        others = move_into_place(folder, tmp_path / "a.gltf")
    assert set(others) == {tmp_path / "a.bin", tmp_path / "textures" / "skin.png"}
    files = {path.relative_to(tmp_path).as_posix(): path for path in tmp_path.rglob("*") if path.is_file()}
    assert set(files) == {"a.gltf", "a.bin", "textures/skin.png"}
    assert {path.read_text() for path in files.values()} == {"new"}


def test_nothing_is_left_of_a_failure(tmp_path):
    (tmp_path / "a.fbx").write_text("old")

    def fail():
        with folder_beside(tmp_path / "a.fbx") as folder:
            (folder / "a.fbx").write_text("half")
            raise RuntimeError("the exporter fell over")

    with pytest.raises(RuntimeError):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["a.fbx"]
    assert (tmp_path / "a.fbx").read_text() == "old"


def test_earlier_files_are_back_when_one_cannot_be_moved(tmp_path, monkeypatch):
    for name in ("a.gltf", "a.bin"):
        (tmp_path / name).write_text("old")
    replace = Path.replace

    def stubborn(self, target):
        if self.parent.name.endswith(".part") and self.name == "a.gltf":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", stubborn)

    def move():
        with folder_beside(tmp_path / "a.gltf") as folder:
            for name in ("a.gltf", "a.bin", "b.png"):
                (folder / name).write_text("new")
            move_into_place(folder, tmp_path / "a.gltf")

    with pytest.raises(OSError, match="No space"):
        move()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.gltf": "old", "a.bin": "old"}


def test_a_file_that_failed_its_check_is_kept_under_a_name_that_says_so(tmp_path):
    for text in ("first", "second"):
        with folder_beside(tmp_path / "a.fbx") as folder:
            (folder / "a.fbx").write_text(text)
            kept = keep_failed(folder, tmp_path / "a.fbx")
    assert kept == tmp_path / "a.fbx.failed-check"
    assert (kept / "a.fbx").read_text() == "second"
    assert not (tmp_path / "a.fbx").exists()
