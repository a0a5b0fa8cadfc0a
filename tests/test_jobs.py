# SPDX-License-Identifier: Apache-2.0
"""Job folders: what is finished is kept, what does not fit any more is made anew, nothing is half there."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fasthmr.errors import BadInput, Cancelled
from fasthmr.files import load_arrays, save_arrays
from fasthmr.jobs import Job, JobBusy, code_digest, fingerprint_of
from fasthmr.progress import Progress


class Listener(Progress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[tuple[str, int, int | None]] = []
        self.messages: list[str] = []

    def show(self, stage: str, done: int, total: int | None) -> None:
        self.steps.append((stage, done, total))

    def log(self, message: str) -> None:
        self.messages.append(message)


def save(value: int, path: Path) -> None:
    save_arrays(path, {"value": np.array(value)})


def load(path: Path) -> int:
    return int(load_arrays(path)["value"])


class Maker:
    """Makes one value and counts how often it had to."""

    def __init__(self, value: int = 7) -> None:
        self.value = value
        self.made = 0

    def __call__(self) -> list[int]:
        self.made += 1
        return [self.value]


def open_job(folder: Path, sha256: str = "f00d", footage: str = "clip.mp4", progress: Any = None) -> Job:
    return Job(folder, Path(footage), sha256, {"person": "all"}, progress)


def run_stage(folder: Path, maker: Maker, **inputs: Any) -> int:
    with open_job(folder) as job:
        (value,) = job.stage("people", [folder / "people.npz"], maker, save, load, **inputs)
    return value


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "job.json").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "clip.job"


def test_a_finished_stage_is_not_made_twice(folder: Path) -> None:
    first, second = Maker(7), Maker(8)
    assert run_stage(folder, first, start=None) == 7
    assert run_stage(folder, second, start=None) == 7
    assert (first.made, second.made) == (1, 0)


def test_a_changed_input_makes_the_stage_anew(folder: Path) -> None:
    run_stage(folder, Maker(7), start=None)
    assert run_stage(folder, Maker(8), start=1.5) == 8
    assert run_stage(folder, Maker(9), start=1.5) == 8


def test_a_changed_setting_costs_only_the_stages_that_depend_on_it(folder: Path) -> None:
    made: list[str] = []

    def run(start: float, fov: float) -> None:
        def make(name: str) -> list[int]:
            made.append(name)
            return [1]

        with open_job(folder) as job:
            job.stage("people", [folder / "people.npz"], lambda: make("people"), save, load, start=start)
            inputs = {"people": job.fingerprint("people"), "fov": fov}
            job.stage("fit", [folder / "fit.npz"], lambda: make("fit"), save, load, **inputs)

    run(0.0, 50.0)
    run(0.0, 60.0)
    run(1.0, 60.0)
    assert made == ["people", "fit", "fit", "people", "fit"]


@pytest.mark.parametrize("damage", [b"", b"no archive", None])
def test_a_damaged_stage_file_is_made_anew_and_said_so(folder: Path, damage: bytes | None) -> None:
    run_stage(folder, Maker(7))
    if damage is None:
        (folder / "people.npz").unlink()
    else:
        (folder / "people.npz").write_bytes(damage)
    again = Maker(8)
    assert run_stage(folder, again) == 8
    assert again.made == 1
    assert "cannot be used" in (folder / "log.txt").read_text()


def test_a_flipped_bit_is_noticed(folder: Path) -> None:
    run_stage(folder, Maker(7))
    data = bytearray((folder / "people.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "people.npz").write_bytes(bytes(data))
    assert run_stage(folder, Maker(8)) == 8


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 99, "version": "9"}', b"\xff\xfe"])
def test_a_damaged_job_record_costs_the_stages_but_not_the_job(folder: Path, content: bytes) -> None:
    run_stage(folder, Maker(7))
    (folder / "job.json").write_bytes(content)
    assert run_stage(folder, Maker(8)) == 8
    assert record_of(folder)["state"] == "done"


def test_a_record_of_a_newer_schema_is_not_trusted(folder: Path) -> None:
    run_stage(folder, Maker(7))
    record = record_of(folder) | {"schema": 2}
    (folder / "job.json").write_text(json.dumps(record))
    assert run_stage(folder, Maker(8)) == 8
    assert "schema 2" in (folder / "log.txt").read_text()


def test_a_stage_of_several_files_is_whole_only_with_all_of_them(folder: Path, tmp_path: Path) -> None:
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]

    def run(values: list[int]) -> list[int]:
        with open_job(folder) as job:
            return job.stage("place", paths, lambda: values, save, load)

    assert run([1, 2]) == [1, 2]
    assert run([3, 4]) == [1, 2]
    paths[1].unlink()
    assert run([5, 6]) == [5, 6]


def test_other_files_than_last_time_are_another_stage(folder: Path, tmp_path: Path) -> None:
    with open_job(folder) as job:
        job.stage("place", [tmp_path / "a.npz"], Maker(1), save, load)
    with open_job(folder) as job:
        assert job.stage("place", [tmp_path / "b.npz"], Maker(2), save, load) == [2]


def test_a_moved_job_folder_goes_on(folder: Path, tmp_path: Path) -> None:
    run_stage(folder, Maker(7))
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    assert run_stage(moved, Maker(8)) == 7


def test_an_error_leaves_no_stage_and_keeps_the_earlier_one(folder: Path) -> None:
    def fall_over() -> list[int]:
        raise RuntimeError("the fit fell over")

    run_stage(folder, Maker(7))
    with pytest.raises(RuntimeError), open_job(folder) as job:
        job.stage("fit", [folder / "fit.npz"], fall_over, save, load)
    record = record_of(folder)
    assert record["state"] == "failed"
    assert record["error"] == "the fit fell over"
    assert "Traceback" in (folder / "log.txt").read_text()
    assert run_stage(folder, Maker(8)) == 7


@pytest.mark.parametrize("error", [Cancelled("stop"), KeyboardInterrupt()])
def test_a_cancel_is_written_down_as_such(folder: Path, error: BaseException) -> None:
    with pytest.raises(type(error)), open_job(folder):
        raise error
    assert record_of(folder)["state"] == "cancelled"


def test_another_clip_of_the_same_name_is_refused_and_nothing_is_touched(folder: Path) -> None:
    run_stage(folder, Maker(7))
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "log.txt"}
    with pytest.raises(BadInput, match="another clip"), open_job(folder, "beef", "other/clip.mp4"):
        pass
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "log.txt"}


def test_footage_that_was_exported_again_or_moved_is_taken(folder: Path) -> None:
    run_stage(folder, Maker(7))
    with open_job(folder, "beef"):  # same path, other content
        pass
    with open_job(folder, "beef", "moved/clip.mp4"):  # same content, other path
        pass


def test_two_jobs_in_one_folder_are_refused_with_a_message(folder: Path) -> None:
    with open_job(folder), pytest.raises(JobBusy, match="Another FastHMR is working"), open_job(folder):
        pass
    with open_job(folder):
        pass


def test_a_killed_process_does_not_keep_the_folder_locked(folder: Path) -> None:
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from fasthmr.jobs import Job\n"
        "with Job(Path(sys.argv[1]), Path('clip.mp4'), 'f00d', {}):\n"
        "    print('in', flush=True)\n"
        "    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"in\n"
        with pytest.raises(JobBusy), open_job(folder):
            pass
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    with open_job(folder):
        pass
    assert "ended without a word" in (folder / "log.txt").read_text()


def test_progress_is_recorded_passed_on_and_starts_again_with_every_run(folder: Path) -> None:
    listener = Listener()
    with open_job(folder, progress=listener) as job:
        for done in range(4):
            job.progress.report("people", done, 3)
        job.progress.log("hello")
    lines = [json.loads(line) for line in (folder / "progress.jsonl").read_text().splitlines()]
    assert [(line["stage"], line["done"], line["total"]) for line in lines] == [
        ("people", 0, 3),
        ("people", 3, 3),
    ]
    assert listener.steps == [("people", done, 3) for done in range(4)]
    assert "hello" in listener.messages
    with open_job(folder):
        pass
    assert (folder / "progress.jsonl").read_bytes() == b""


def test_a_cancel_of_the_listener_stops_the_stages(folder: Path) -> None:
    listener = Listener()
    listener.cancelled.set()
    with pytest.raises(Cancelled), open_job(folder, progress=listener) as job:
        job.progress.report("people", 0)


# --- places that cannot be written


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB."""
    place = tmp_path / "tiny"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk can only be mounted by root on Linux")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def save_noise(value: int, path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8)
    save_arrays(path, {"value": np.array(value), "noise": noise})


def save_carelessly(value: int, path: Path) -> None:
    """As a part might that leaves the message to the job."""
    part = path.with_suffix(".part")
    noise = np.random.default_rng(0).integers(0, 256, 200_000, np.uint8)
    try:
        with part.open("wb") as stream:
            np.savez_compressed(stream, noise=noise)
        part.replace(path)
    finally:
        part.unlink()


@pytest.mark.parametrize("saver", [save_noise, save_carelessly])
def test_a_full_disk_is_said_so_and_leaves_nothing_half_written(tiny_disk: Path, saver: Any) -> None:
    folder = tiny_disk / "clip.job"
    run_stage(folder, Maker(7))
    with pytest.raises(BadInput, match=r"[Ss]pace") as caught, open_job(folder) as job:
        job.stage("fit", [folder / "fit.npz"], Maker(7), saver, load)
    assert caught.value.exit_code == 3
    assert not (folder / "fit.npz").exists()
    assert not [path for path in folder.rglob("*") if path.name.endswith(".part")]
    assert run_stage(folder, Maker(8)) == 7  # what was finished is still there


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_any_refusal_of_the_system_while_saving_is_bad_input(
    folder: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(value: int, path: Path) -> None:
        try:
            raise OSError(number, os.strerror(number))
        finally:
            raise ValueError("can't close the archive")  # as zipfile does

    with pytest.raises(BadInput, match=os.strerror(number)), open_job(folder) as job:
        job.stage("people", [folder / "people.npz"], Maker(7), refuse, load)


def test_a_bug_while_saving_stays_a_bug(folder: Path) -> None:
    def refuse(value: int, path: Path) -> None:
        raise ValueError("this motion is not valid")

    with pytest.raises(ValueError, match="not valid"), open_job(folder) as job:
        job.stage("people", [folder / "people.npz"], Maker(7), refuse, load)


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"precious")
    with pytest.raises(BadInput, match="cannot be written"), open_job(tmp_path / "out" / "clip.job"):
        pass
    assert (tmp_path / "out").read_bytes() == b"precious"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(BadInput, match="permissions"), open_job(tmp_path / "clip.job"):
            pass
    finally:
        tmp_path.chmod(0o700)


def test_no_permission_is_said_so_for_root_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *arguments: object, **options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(BadInput, match="Permission denied"), open_job(folder):
        pass


# --- fingerprints


def test_fingerprints_depend_on_every_value_and_not_on_their_order() -> None:
    assert fingerprint_of("fit", {"a": 1, "b": [2.5, None]}) == fingerprint_of(
        "fit", {"b": [2.5, None], "a": 1}
    )
    different = [("fit", {"a": 1}), ("place", {"a": 1}), ("fit", {"a": 2}), ("fit", {"b": 1}), ("fit", {})]
    assert len({fingerprint_of(name, inputs) for name, inputs in different}) == len(different)


def test_the_code_of_a_stage_is_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fasthmr

    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("y = 1\n")
    monkeypatch.setattr(fasthmr, "__file__", str(tmp_path / "__init__.py"))
    digests = set()
    for text in ("x = 1\n", "x = 2\n"):
        (tmp_path / "part" / "a.py").write_text(text)
        code_digest.cache_clear()
        digests |= {code_digest("part"), code_digest("part", "b.py")}
    code_digest.cache_clear()
    assert len(digests) == 4
