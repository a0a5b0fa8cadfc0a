# SPDX-License-Identifier: Apache-2.0
"""``fasthmr checkpoint`` converts, shows, and fails with the exit codes of the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fasthmr import cli
from fasthmr.encoder import checkpoint_check, save_checkpoint
from fasthmr.encoder.layout import parameter_count
from fasthmr.encoder.random_weights import random_state
from tests.encoder.small_sizes import TINY_HMR2


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(checkpoint_check, "PUBLISHED", {"hmr2": TINY_HMR2})
    torch.save({"state_dict": random_state(TINY_HMR2)}, tmp_path / "a.ckpt")
    return tmp_path / "a.ckpt"


def test_convert_writes_the_file_and_says_what_is_in_it(
    checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = checkpoint.with_suffix(".safetensors")
    assert cli.main(["checkpoint", "convert", str(checkpoint), "--kind", "hmr2", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    assert out.exists()
    assert f"{parameter_count(TINY_HMR2):,}" in shown
    assert "bfloat16" in shown
    assert "a.ckpt, sha256" in shown


def test_show_prints_lines_or_json(checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["checkpoint", "show", str(checkpoint)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["kind", "hmr2"] for line in lines)
    assert any(line.startswith("layers") and "3, as published" in line for line in lines)
    assert cli.main(["checkpoint", "show", str(checkpoint), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["kind"] == "hmr2"
    assert facts["plan"] is None


def test_merged_layers_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = {"groups": [[0], [1], [2]], "variant": "formula"}
    save_checkpoint(tmp_path / "m.safetensors", random_state(TINY_HMR2), TINY_HMR2, {"plan": plan})
    assert cli.main(["checkpoint", "show", str(tmp_path / "m.safetensors")]) == 0
    assert "3, merged (formula)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["show", "missing.ckpt"], 5),
        (["show", "text.ckpt"], 3),
        (["convert", "a.ckpt", "--kind", "camerahmr", "--out", "b.safetensors"], 5),
        (["convert", "a.ckpt", "--kind", "hmr3", "--out", "b.safetensors"], 2),
        (["convert", "a.ckpt", "--kind", "hmr2", "--dtype", "int4", "--out", "b.safetensors"], 2),
        (["convert", "a.ckpt", "--kind", "hmr2", "--out", "b.ckpt"], 2),
        (["convert", "a.ckpt", "--kind", "hmr2", "--out", "text.ckpt/b.safetensors"], 3),
    ],
)
def test_faults_have_their_exit_codes(
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
) -> None:
    monkeypatch.chdir(checkpoint.parent)
    Path("text.ckpt").write_text("not found")
    assert cli.main(["checkpoint", *words]) == code
    assert "Traceback" not in (said := capsys.readouterr()).err
    assert said.out == ""
    assert not list(Path().glob("*.safetensors"))
