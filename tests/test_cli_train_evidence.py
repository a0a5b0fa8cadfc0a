# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train evidence`` as a user calls it; perception on rendered footage where both can be had."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

import numpy as np
import pytest

from fasthmr import cli, cli_train_evidence
from fasthmr.body import load_body
from fasthmr.errors import FastHMRError, MissingModel
from fasthmr.files import load_arrays
from fasthmr.people.bundle import find_bundle
from fasthmr.training.evidence import estimate, pairs
from fasthmr.training.evidence.errors import ErrorParameters, usual
from fasthmr.training.evidence.paired import _NEEDED, PairedEvidence
from fasthmr.training.synthesis.stage import SyntheticStage
from tests.training.evidence.recorded_pairs import write_pairs
from tests.training.tiny_mocap import tiny_mocap


@pytest.fixture
def mocap(tmp_path: Path) -> Path:
    return tiny_mocap(load_body("open"), tmp_path / "set").folder


def call(mocap: Path, out: Path, *more: str) -> list[str]:
    return ["train", "evidence", "--mocap", str(mocap), "--out", str(out), *more]


def without_renderer() -> str:
    """Why nothing can be rendered and read here; nothing where it can."""
    try:
        find_bundle()
        with SyntheticStage(load_body("open")):
            return ""
    except MissingModel:
        return "the person detector's weights are not prepared: run `python build.py setup`"
    except FastHMRError as error:
        return f"OpenGL cannot be started here: {error}"


def test_help_tells_the_sizes_and_defaults_of_the_code() -> None:
    trains = argparse.ArgumentParser().add_subparsers()
    cli_train_evidence.add_commands(trains)
    actions = {action.dest: action for action in trains.choices["evidence"]._actions}
    for name in ("shards", "seed"):
        found = re.search(r"\((\d+)\)$", actions[name].help or "")
        assert found
        assert int(found[1]) == actions[name].default
    assert f"of eight sequences of {pairs.SEQUENCE} frames" in (actions["shards"].help or "")
    assert pairs._SEQUENCES_A_SHARD == 8


@pytest.mark.slow
def test_recorded_pairs_are_evidence_of_the_truth(
    mocap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Shorter than a real shard, for a real one takes a minute."""
    if reason := without_renderer():
        pytest.skip(reason)
    monkeypatch.setattr(pairs, "SEQUENCE", 20)
    monkeypatch.setattr(pairs, "_SEQUENCES_A_SHARD", 3)
    monkeypatch.setattr(estimate, "_STEPS", 30)
    out, errors = tmp_path / "pairs", tmp_path / "errors.npz"
    assert (
        cli.main(call(mocap, out, "--shards", "2", "--seed", "3", "--estimate", str(errors), "--json")) == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert told["pairs"] == str(out)
    assert told["estimate"] == str(errors)
    assert [path.name for path in sorted(out.iterdir())] == ["pairs0000.npz", "pairs0001.npz"]
    first = load_arrays(out / "pairs0000.npz")
    assert set(_NEEDED) <= set(first)
    assert first["landmarks_image"].shape == (3, 20, 33, 2)
    seen = first["visibility"].max(-1) > 0
    every = sum(int((load_arrays(path)["visibility"].max(-1) > 0).sum()) for path in out.iterdir())
    assert told["new_frames"] == every > 20
    focal, middle = (
        first["intrinsics"][:, None, None, [0, 1], [0, 1]],
        first["intrinsics"][:, None, None, :2, 2],
    )
    true = first["true_landmarks"][..., :2] / first["true_landmarks"][..., 2:] * focal + middle
    size = (first["boxes"][..., 2:] - first["boxes"][..., :2]).max(-1)
    off = np.linalg.norm(first["landmarks_image"] - true, axis=-1) / size[..., None]
    assert np.median(off[seen]) < 0.12  # of the box: perception looked at this person
    ErrorParameters.load(errors)
    PairedEvidence(out, window=16).batch(2)

    before = (out / "pairs0000.npz").read_bytes()
    (out / "pairs0001.npz").unlink()
    assert cli.main(call(mocap, out, "--shards", "2", "--seed", "3")) == 0
    assert (out / "pairs0000.npz").read_bytes() == before
    assert "new frames" in capsys.readouterr().out
    again = load_arrays(out / "pairs0001.npz")
    np.testing.assert_array_equal(again["pelvis"].shape, first["pelvis"].shape)
    assert not np.array_equal(again["pelvis"], first["pelvis"])


def test_estimate_from_pairs_that_are_there(
    mocap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body = load_body("open")
    out, errors = tmp_path / "pairs", tmp_path / "errors.npz"
    write_pairs(out, tiny_mocap(body, tmp_path / "other"), body, usual(), files=2, sequences=10, frames=96)
    monkeypatch.setattr(pairs, "record_pairs", lambda _request, _progress: 0)
    monkeypatch.setattr(estimate, "_STEPS", 30)
    assert cli.main(call(mocap, out, "--shards", "2", "--estimate", str(errors))) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"0 new frames in {out}"
    assert lines[-1] == str(errors)
    assert sum(line.startswith(("left_", "right_", "nose", "mouth_")) for line in lines) == 33
    fast = ErrorParameters.load(errors).fast
    assert 0.002 < fast[:, 0].mean() < 0.012  # 4 mm and more were put in


def test_offsets_from_pairs_that_are_there(
    mocap: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    body, out = load_body("open"), tmp_path / "pairs"
    write_pairs(out, tiny_mocap(body, tmp_path / "other"), body, usual(), sequences=6, frames=48)
    monkeypatch.setattr(pairs, "record_pairs", lambda _request, _progress: 0)
    assert cli.main(call(mocap, out, "--shards", "1", "--offsets")) == 0
    told = capsys.readouterr().out
    assert re.search(r"^left_ankle +[+-]\d+ +[+-]\d+ +[+-]\d+ mm .* in \d+ views$", told, re.MULTILINE)
    assert cli.main(call(mocap, out, "--shards", "1", "--offsets", "--json")) == 0
    offsets = json.loads(capsys.readouterr().out)["offsets_mm"]
    assert len(offsets["nose"]) == 3
    assert not any(name.startswith("right") for name in offsets)


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (["--shards", "0"], 2, "--shards"),
        (["--estimate", "errors.json"], 2, "errors.json"),
    ],
    ids=str,
)
def test_exit_codes(
    more: list[str], code: int, message: str, mocap: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(call(mocap, tmp_path / "pairs", *more)) == code
    out, err = capsys.readouterr()
    assert not out
    assert message in err


def test_missing_mocap_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(call(tmp_path / "none", tmp_path / "pairs")) == 3
    assert "not a motion capture set" in capsys.readouterr().err
