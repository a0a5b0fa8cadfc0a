# SPDX-License-Identifier: Apache-2.0
"""What is written here is read by the package safetensors, and is never half there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fasthmr.encoder.safetensors_files import write_safetensors


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    base = torch.randn(6, 4, generator=generator)
    kinds = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
    some = {str(kind): base.to(kind) for kind in kinds}
    return {**some, "turned": base.T, "part": base[::2, 1:3], "one": base[0, 0], "none": base[:0]}


def test_package_reads_what_was_written(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", tensors(), {"about": {"name": "é", "layers": [1, 2]}})
    found = load_file(tmp_path / "a.safetensors")
    for name, one in tensors().items():
        assert found[name].dtype == one.dtype
        assert torch.equal(found[name], one)
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert json.loads(file.metadata()["about"]) == {"name": "é", "layers": [1, 2]}
        assert file.metadata()["format"] == "pt"


def test_file_is_as_long_as_the_packages_own(tmp_path: Path) -> None:
    plain = {name: one.clone().contiguous() for name, one in tensors().items()}
    write_safetensors(tmp_path / "a.safetensors", plain, {})
    save_file(plain, tmp_path / "b.safetensors", {"format": "pt"})
    lengths = [(tmp_path / f"{name}.safetensors").stat().st_size for name in "ab"]
    assert abs(lengths[0] - lengths[1]) < 64  # spaces in the table


def test_types_can_be_chosen_by_name(tmp_path: Path) -> None:
    chosen = {"a": torch.bfloat16}
    state = {"a": torch.randn(5), "b": torch.randn(5)}
    write_safetensors(tmp_path / "a.safetensors", state, {}, lambda name, dtype: chosen.get(name, dtype))
    found = load_file(tmp_path / "a.safetensors")
    assert torch.equal(found["a"], state["a"].bfloat16())
    assert torch.equal(found["b"], state["b"])


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(b"old")
    meta = torch.empty(3, device="meta")  # has no numbers to write
    with pytest.raises((NotImplementedError, RuntimeError)):
        write_safetensors(path, {"a": torch.ones(3), "b": meta}, {})
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.safetensors"]
