# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train mocap`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fasthmr import cli
from fasthmr.training.mocap.packed import MocapSet
from tests.training.mocap.tiny_data import BROKEN, HEADER, SOUND, write_data


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A call that converts the tiny folder."""
    data = write_data(tmp_path / "data")
    return ["train", "mocap", "--data", str(data), "--out", str(tmp_path / "set")]


def test_table_and_files(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--picture", str(tmp_path / "sheet.png")]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "3 clips"
    assert [line.split()[0] for line in lines[1:4]] == ["train", "validation", "test"]
    assert {line.split()[0] for line in lines[5:7]} == {"cmu_expmap", "deepmimic"}
    assert any(line.split() == ["copy", "1.5"] for line in lines)
    assert sum(line.startswith("not readable: ") for line in lines) == len(BROKEN)
    assert lines[-1] == str(tmp_path / "set")
    assert "Fit poses" in err
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert [clip.name for clip in MocapSet.open(tmp_path / "set").clips] == [name for name, _, _ in SOUND]


def test_json_and_one_source(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*words, "--only", "jumps", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["clips"] == 2
    assert found["set"] == str(tmp_path / "set")
    assert set(found["error_mm"]) == {"deepmimic"}
    assert 0 < found["error_mm"]["deepmimic"]["median"] < found["error_mm"]["deepmimic"]["p95"]
    assert found["minutes"]["test"] == pytest.approx(50 / 1800)
    assert found["thrown_out_seconds"] == {"copy": pytest.approx(1.5)}
    assert len(found["unreadable"]) == 2
    assert json.loads(Path(found["report"]).read_text())["clips"] == 2


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--jobs", "0"], 2, "--jobs must be 1 or more"),
        (["--picture", "sheet.jpg"], 2, "must end with .png"),
        (["--data", "nowhere"], 3, "There is no folder nowhere"),
        (["--only", "fish"], 3, "has no fish"),
        (["--only", "bones"], 3, "No motion could be read"),
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
    assert not (tmp_path / "set").exists()


def test_a_set_is_not_written_over(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/mine").touch()
    assert cli.main(words) == 3
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "set").iterdir()] == ["mine"]


def test_a_manifest_that_is_none(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data/manifest.csv").write_text(f"{HEADER}\na/b.amc,a,amc,fast,,,01_01,walk\n")
    assert cli.main(words) == 3
    assert "manifest.csv is no list of clips: line 2" in capsys.readouterr().err


@pytest.mark.parametrize("left_out", ["--data", "--out"])
def test_places_are_needed(left_out: str, words: list[str]) -> None:
    place = words.index(left_out)
    with pytest.raises(SystemExit) as stopped:
        cli.main(words[:place] + words[place + 2 :])
    assert stopped.value.code == 2
