# SPDX-License-Identifier: Apache-2.0
"""Files are written whole or not at all, and read without running code."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from fasthmr import files
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays, written_whole


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(12.0).reshape(3, 4),
        "word": np.array("über"),
        "none": np.zeros((0, 2), np.int64),
    }
    save_arrays(tmp_path / "deep" / "x.npz", arrays)
    back = load_arrays(tmp_path / "deep" / "x.npz")
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_an_error_keeps_the_old_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")

    def fail_half_way() -> None:
        with written_whole(path) as stream:
            stream.write(b"new")
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail_half_way()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(BadInput, match="disk is full"):
        save_arrays(tmp_path / "x.npz", {"a": np.ones(3)})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("in the way")
    with pytest.raises(BadInput, match="cannot be written"):
        save_arrays(tmp_path / "x" / "y.npz", {"a": np.ones(3)})


def test_objects_are_neither_written_nor_read(tmp_path: Path) -> None:
    hostile = np.array([{"a": 1}], dtype=object)
    with pytest.raises(ValueError, match="Python objects"):
        save_arrays(tmp_path / "x.npz", {"a": hostile})
    with (tmp_path / "pickle.npz").open("wb") as stream:
        np.savez(stream, a=hostile)
    with pytest.raises(BadInput, match="damaged or of another kind"):
        load_arrays(tmp_path / "pickle.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello", "damaged or of another kind"),
        (b"PK\x03\x04 broken", "damaged or of another"),
    ],
)
def test_damaged_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        load_arrays(path, "motion file")
    assert str(path) in str(caught.value)


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    save_arrays(whole, {"a": np.random.default_rng(0).normal(size=2000)})
    content = whole.read_bytes()
    for length in range(1, len(content), len(content) // 23):
        cut = tmp_path / "cut.npz"
        cut.write_bytes(content[:length])
        with pytest.raises(BadInput):
            load_arrays(cut)


def test_missing_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="There is no"):
        load_arrays(tmp_path / "none.npz")
    with pytest.raises(BadInput, match="is a folder"):
        load_arrays(tmp_path)
