# SPDX-License-Identifier: Apache-2.0
"""Files that are no checkpoints are told from one another, and the message says what to do."""

from __future__ import annotations

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from fasthmr.encoder.file_kinds import kind_of_file
from fasthmr.errors import BadInput, MissingModel


def tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("model.ckpt"))
    return buffer.getvalue()


def old_format() -> bytes:
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


OTHERS = {
    "empty": (b"", "it is empty"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2688\n", "git lfs pull"),
    "page": (b"\r\n<!DOCTYPE html><html><title>Login</title>", "log in"),
    "page with a mark": (b"\xef\xbb\xbf<html>", "log in"),
    "packed": (gzip.compress(b"x"), "Unpack it"),
    "archive": (tar(), "Unpack it"),
    "old": (old_format(), "before 1.6"),
    "pickle": (pickle.dumps({"v_template": [1.0]}), "--body"),
    "zeros": (bytes(10000), "not finished"),
    "text": (b"Quota exceeded, try again later.\n", "text file"),
    "text of other letters": ("Fehler: nicht gefunden, später! ".encode() * 200, "text file"),
    "noise": (bytes(range(255, 0, -1)), "damaged"),
    "short": (b"\x01", "damaged"),
    "table too long": (b"\xff" * 8 + b"{", "damaged"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_files_are_named(tmp_path: Path, name: str) -> None:
    content, message = OTHERS[name]
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message) as caught:
        kind_of_file(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match="no checkpoint at"):
        kind_of_file(tmp_path / "a.ckpt")
    with pytest.raises(BadInput, match="folder"):
        kind_of_file(tmp_path)


def test_checkpoints_are_told_by_what_is_in_them(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "a.safetensors")
    save_file({"a": torch.ones(2)}, tmp_path / "b.ckpt")
    assert kind_of_file(tmp_path / "a.safetensors") == "torch"
    assert kind_of_file(tmp_path / "b.ckpt") == "safetensors"
