# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train eclm`` as a user calls it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

from fasthmr import cli, cli_train
from fasthmr.encoder.checkpoint import load_checkpoint
from fasthmr.encoder.layer_plan import VARIANTS, LayerPlan
from fasthmr.training.eclm import MergeRequest
from tests.training.tiny_network import random_crops, write_network


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A call that merges the network with idle layers, measured on labelled noise."""
    joints = torch.randn((6, 24, 3), generator=torch.Generator().manual_seed(0)).numpy() * 0.4
    dataclasses.replace(random_crops(), joints=joints).save(tmp_path / "set.npz")
    original = write_network(tmp_path / "original.safetensors")
    return [
        *("train", "eclm", "--checkpoint", str(original), "--out", str(tmp_path / "merged.safetensors")),
        *("--labelled", str(tmp_path / "set.npz"), "--device", "cpu"),
    ]


def test_table_and_files(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--tau", "0.000001", "--drop-baseline", "--variant", "keep_last"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["layers", "mpjpe_mm", "change"]
    assert [line.split()[0] for line in lines[2:9]] == [f"{low}-{high}" for low, high in windows(tmp_path)]
    assert sum(line.endswith("may become one") for line in lines) >= 3
    assert any(line.startswith("leaving out layers") for line in lines)
    assert any("measurements" in line for line in lines)
    assert lines[-2:] == [str(tmp_path / "merged.safetensors"), str(tmp_path / "merged.plan.json")]
    assert "Testing layers" in err
    assert "Testing layers" not in out


def windows(folder: Path) -> list[tuple[int, int]]:
    return [(test.low, test.high) for test in LayerPlan.load(folder / "merged.plan.json").tests]


def test_json_and_a_plan_of_its_own(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan_path = tmp_path / "plans/mine.json"
    call = [*words, "--json", "--plan", str(plan_path), "--frames", "4", "--tau", "5", "--tokens", "8"]
    assert cli.main(call) == 0
    found = json.loads(capsys.readouterr().out)
    assert LayerPlan.from_json(found["plan"]) == LayerPlan.load(plan_path)
    assert found["plan"]["tau"] == 5
    assert found["plan"]["calibration"]["crops"] == 4
    assert found["plan"]["calibration"]["tokens"] == 8
    assert found["measured"] == 8
    assert found["seconds_per_measurement"] > 0
    assert found["drop_baseline"] is None
    assert cli.main(call) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["measured"], again["plan"]) == (0, found["plan"])


def test_apply(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--tau", "1000"]) == 0
    out = tmp_path / "applied.safetensors"
    apply = ["train", "eclm", "--apply", str(tmp_path / "merged.plan.json"), "--out", str(out)]
    apply += ["--checkpoint", str(tmp_path / "original.safetensors")]
    capsys.readouterr()
    assert cli.main(apply) == 0
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    depth = load_checkpoint(tmp_path / "merged.safetensors", "hmr2").config.depth
    assert load_checkpoint(out, "hmr2").config.depth == depth < 8
    assert cli.main([*apply, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["plan"]["groups"]) == depth
    assert cli.main([*apply, "--tau", "1"]) == 2
    assert "--tau belongs to the search" in capsys.readouterr().err
    assert cli.main([*apply, "--drop-baseline"]) == 2
    assert "--drop-baseline" in capsys.readouterr().err
    assert cli.main([*apply, "--model", "camerahmr"]) == 5


def test_budget_is_said(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--minutes", "0.0000001"]) == 0
    out, err = capsys.readouterr()
    assert "The same call goes on" in err
    assert "not finished" in out


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--tau", "nan"], 2, "tau"),
        (["--device", "tpu"], 2, "tpu"),
        (["--model", "camerahmr"], 5, "HMR2.0"),
        (["--checkpoint", "none.ckpt"], 5, "none.ckpt"),
        (["--labelled", "none.npz"], 3, "none.npz"),
        (["--out", "merged.pt"], 2, ".safetensors"),
        (["--body", "none.pkl"], 5, "none.pkl"),
    ],
    ids=str,
)
def test_exit_codes(
    change: list[str], code: int, message: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*words, *change]) == code
    out, err = capsys.readouterr()
    assert not out
    assert message in err


@pytest.mark.parametrize("extra", [["--clips", "a.mp4"], ["--apply", "plan.json"], ["--variant", "sum"]])
def test_calls_that_contradict_themselves(extra: list[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main([*words, *extra])
    assert stopped.value.code == 2


def test_options_are_those_of_the_request() -> None:
    assert cli_train._VARIANTS == VARIANTS
    assert set(cli_train._SEARCH) <= {field.name for field in dataclasses.fields(MergeRequest)}
