# SPDX-License-Identifier: GPL-3.0-or-later
"""The report for machines and the record beside a .blend: written whole, read with distrust."""

import json
from pathlib import Path

import pytest
from recover_motion.headless_record import (
    SCHEMA,
    Outcome,
    Person,
    Record,
    Report,
    digest,
    worst,
    write_whole,
)


def done(folder: Path, name: str = "walk") -> Outcome:
    motion = folder / f"{name}.person01.npz"
    motion.touch()
    blend = folder / f"{name}.blend"
    blend.touch()
    person = Person(f"{name}.person01", str(motion), 1, 60)
    return Outcome(f"/footage/{name}.mp4", "done", 0, "One person.", ["a note"], [person], str(blend), 2.0)


def test_what_was_noted_is_found_again(tmp_path):
    outcome = done(tmp_path)
    record = Record(tmp_path / "walk.blend")
    assert not record.exists
    record.add(outcome, "abc", alone=True)
    again = Record(tmp_path / "walk.blend")
    assert again.exists
    found = again.find(outcome.footage, "abc")
    assert found is not None
    assert (found.status, found.exit_code, found.people, found.notes, found.blend) == (
        "already there",
        0,
        outcome.people,
        ["a note"],
        outcome.blend,
    )
    assert again.find(outcome.footage, "other settings") is None
    assert again.find("/footage/other.mp4", "abc") is None


def test_what_is_gone_is_not_there(tmp_path):
    outcome = done(tmp_path)
    Record(tmp_path / "walk.blend").add(outcome, "abc", alone=True)
    Path(outcome.people[0].file).unlink()
    assert Record(tmp_path / "walk.blend").find(outcome.footage, "abc") is None
    Path(outcome.people[0].file).touch()
    assert Record(tmp_path / "walk.blend").find(outcome.footage, "abc") is not None
    (tmp_path / "walk.blend").unlink()
    assert not Record(tmp_path / "walk.blend").exists


def test_a_file_for_all_clips_keeps_what_it_had_and_one_for_each_does_not(tmp_path):
    walk, run = done(tmp_path, "walk"), done(tmp_path, "run")
    (tmp_path / "all.blend").touch()
    Record(tmp_path / "all.blend").add(walk, "w", alone=False)
    Record(tmp_path / "all.blend").add(run, "r", alone=False)
    both = Record(tmp_path / "all.blend")
    assert both.find(walk.footage, "w")
    assert both.find(run.footage, "r")
    Record(tmp_path / "all.blend").add(run, "r", alone=True)
    assert Record(tmp_path / "all.blend").find(walk.footage, "w") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{half",
        "[]",
        '{"schema": 99, "clips": {"/footage/walk.mp4": {"made_from": "abc"}}}',
        '{"schema": 1, "clips": []}',
        '{"schema": 1, "clips": {"/footage/walk.mp4": 3}}',
        '{"schema": 1, "clips": {"/footage/walk.mp4": {"made_from": "abc", "people": [{"age": 3}],'
        ' "notes": []}}}',
        '{"schema": 1, "clips": {"/footage/walk.mp4": {"made_from": "abc"}}}',
    ],
)
def test_a_record_that_cannot_be_used_is_as_none(tmp_path, text):
    (tmp_path / "walk.blend").touch()
    (tmp_path / "walk.blend.json").write_text(text)
    assert Record(tmp_path / "walk.blend").find("/footage/walk.mp4", "abc") is None


def test_the_digest_is_that_of_the_values():
    assert digest({"a": 1, "b": [None, "ä"]}) == digest({"b": [None, "ä"], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


def test_the_worst_code_is_the_one_that_asks_most_for_attention():
    assert worst([]) == 0
    assert worst([0, 4]) == 4
    assert worst([3, 4, 0]) == 3
    assert worst([5, 2, 3]) == 5
    assert worst([130, 1]) == 130


def test_the_report_says_what_is_known_so_far(tmp_path):
    path = tmp_path / "new" / "report.json"
    report = Report(path, {"command": "batch", "asked": {"out": "x"}})
    report.write()
    assert json.loads(path.read_text()) == {
        "schema": SCHEMA,
        "command": "batch",
        "asked": {"out": "x"},
        "exit_code": None,
        "message": "",
        "seconds": 0.0,
        "clips": [],
    }
    report.clips = [done(tmp_path), Outcome("/footage/ümlaut.mp4")]
    report.write(3, 12.345)
    value = json.loads(path.read_text(encoding="utf-8"))
    assert (value["exit_code"], value["seconds"]) == (3, 12.35)
    assert value["clips"][0]["people"][0]["last_frame"] == 60
    assert value["clips"][1] == {
        "footage": "/footage/ümlaut.mp4",
        "status": "not started",
        "exit_code": 0,
        "message": "",
        "notes": [],
        "people": [],
        "blend": "",
        "seconds": 0.0,
    }
    assert sorted(one.name for one in path.parent.iterdir()) == ["report.json"]


def test_nobody_reads_half_a_file(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    write_whole(path, {"run": 1})

    def full(self, *arguments, **options):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, {"run": 2})
    assert json.loads(path.read_text()) == {"run": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_no_report_is_written_where_none_is_wanted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Report(None, {}).write(0, 1.0)
    assert not list(tmp_path.iterdir())
