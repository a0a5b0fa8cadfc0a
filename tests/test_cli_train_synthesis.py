# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train synthesis`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fasthmr import cli
from fasthmr.body import load_body
from fasthmr.training.synthesis import render_people as module
from fasthmr.training.synthesis.people_set import PeopleSet
from tests.training.synthesis.posed_people import open_stage
from tests.training.tiny_mocap import tiny_mocap


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A call that renders shards of three people."""
    body = load_body("open")
    open_stage(body).__exit__(None, None, None)  # skips without OpenGL
    tiny_mocap(body, tmp_path / "mocap")
    real = module.PeopleRequest
    monkeypatch.setattr(module, "PeopleRequest", lambda *rest: real(*rest, samples=3))
    return ["train", "synthesis", "--mocap", str(tmp_path / "mocap"), "--out", str(tmp_path / "people")]


def test_a_set_and_a_sheet(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet = tmp_path / "sheet.png"
    assert cli.main([*words, "--shards", "2", "--sheet", str(sheet)]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == ["6 new people; 6 to train on", str(tmp_path / "people"), str(sheet)]
    assert "Render people" in err
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert len(PeopleSet.open(tmp_path / "people")) == 6


def test_json_and_going_on(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--shards", "1", "--seed", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "set": str(tmp_path / "people"),
        "new_people": 3,
        "training_people": 3,
        "sheet": None,
    }
    assert cli.main([*words, "--shards", "2", "--seed", "4"]) == 0
    assert capsys.readouterr().out.startswith("3 new people; 6 to train on")


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--shards", "0"], 2, "--shards must be 1 or more"),
        (["--sheet", "sheet.gif"], 2, "sheet.gif is none"),
        (["--mocap", "nowhere"], 3, "not a motion capture set"),
    ],
    ids=str,
)
def test_exit_codes(
    change: list[str],
    code: int,
    message: str,
    words: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main([*words, *change]) == code
    out, err = capsys.readouterr()
    assert not out
    assert message in err
    assert not (tmp_path / "people").exists()
