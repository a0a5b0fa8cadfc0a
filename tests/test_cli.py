# SPDX-License-Identifier: Apache-2.0
"""The command line: what it prints where, how it ends, and what bad input gets."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest

from fasthmr import cli
from fasthmr.cli_output import report, worst
from fasthmr.errors import BadCall, BadInput, Cancelled, MissingModel, NobodyFound
from fasthmr.motion import Motion
from fasthmr.request import MODELS

from .conftest import write_clip


class Ended:
    """How a command ended.

    Args:
        code: exit code.
        out: standard output.
        err: standard error.
    """

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err


@pytest.fixture
def fasthmr(
    fake_parts: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """Run the command in this process, with stand-ins for what takes long."""
    monkeypatch.setattr(signal, "signal", lambda *arguments: None)

    def run(*words: object) -> Ended:
        try:
            code = cli.main([str(word) for word in words])
        except SystemExit as end:  # argparse ends like this
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return run


def test_help_names_every_command_and_every_estimator(fasthmr: Callable[..., Ended]) -> None:
    ended = fasthmr("--help")
    assert ended.code == 0
    for command in (
        "recover",
        "people",
        "doctor",
        "worker",
        "preview",
        "bench",
        "train",
        "checkpoint",
        "motion",
    ):
        assert f"\n    {command}" in ended.out
    words = fasthmr("recover", "--help").out
    for model in MODELS:
        assert model in words


def test_help_is_quick() -> None:
    program = (
        "import sys\n"
        "from fasthmr.cli import main\n"
        "try:\n    main(['recover', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'cv2', 'av', 'numpy', 'rich', 'ai_edge_litert'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_results_go_to_standard_output_and_everything_else_to_standard_error(
    clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]
) -> None:
    out = tmp_path / "out"
    ended = fasthmr("recover", clip, "--out", out)
    assert ended.code == 0
    assert ended.out == f"{out / 'clip.person01.npz'}\n{out / 'clip.person02.npz'}\n"
    assert "Finding people: 12/12" in ended.err


def test_json_is_one_object_a_clip(clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]) -> None:
    other = write_clip(tmp_path / "other.mp4", frames=5)
    missing = tmp_path / "missing.mp4"
    ended = fasthmr("recover", clip, missing, other, "--out", tmp_path / "out", "--json", "--person", "1")
    first, second, third = (json.loads(line) for line in ended.out.splitlines())
    assert ended.code == 3
    assert first["ok"]
    assert first["motions"] == [str(tmp_path / "out" / "clip.person01.npz")]
    assert set(first["seconds_by_stage"]) == {"probe", "people", "fit", "place", "write"}
    assert (second["ok"], second["exit_code"], second["kind"]) == (False, 3, "BadInput")
    assert str(missing) in second["message"]
    assert third["clip"] == str(other)


def test_a_failed_clip_does_not_stop_the_next(
    clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]
) -> None:
    ended = fasthmr("recover", tmp_path / "missing.mp4", clip, "--out", tmp_path / "out")
    assert ended.code == 3
    assert (tmp_path / "out" / "clip.person01.npz").exists()
    assert "missing.mp4" in ended.err


def test_clips_of_one_name_are_refused(clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]) -> None:
    ended = fasthmr("recover", clip, tmp_path / "other" / "clip.mov", "--out", tmp_path / "out")
    assert ended.code == 2
    assert "named 'clip'" in ended.err
    assert not (tmp_path / "out").exists()


def test_preview_with_the_motions(clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]) -> None:
    out = tmp_path / "out"
    ended = fasthmr("recover", clip, "--out", out, "--preview")
    assert ended.code == 0
    assert ended.out.splitlines()[2:] == [str(out / "clip.preview.mp4"), str(out / "clip.preview.png")]
    assert (out / "clip.preview.png").exists()


def test_preview_by_itself(clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]) -> None:
    fasthmr("recover", clip, "--out", tmp_path)
    motions = sorted(tmp_path.glob("*.npz"))
    ended = fasthmr("preview", clip, *motions, "--out", tmp_path / "look.mp4")
    assert ended.code == 0
    assert ended.out == f"{tmp_path / 'look.mp4'}\n{tmp_path / 'look.png'}\n"
    assert fasthmr("preview", clip, *motions, "--out", tmp_path / "look.gif").code == 2


def test_people_as_a_table_and_as_json(clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]) -> None:
    ended = fasthmr("people", clip, "--out", tmp_path / "out")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert len(lines) == 3
    assert lines[1].split()[:3] == ["1", "0", "0-11"]
    thumbnail = Path(lines[1].split()[-1])
    assert thumbnail.exists()
    found = json.loads(fasthmr("people", clip, "--out", tmp_path / "out", "--json").out)
    assert [one["person"] for one in found["people"]] == [1, 2]
    assert found["people"][0]["thumbnail"] == str(thumbnail)


def test_people_go_to_the_current_folder_when_none_is_named(
    clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert fasthmr("people", clip).code == 0
    assert (tmp_path / "here" / "clip.job" / "person01.png").exists()


def test_export(clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]) -> None:
    fasthmr("recover", clip, "--out", tmp_path, "--person", "1")
    ended = fasthmr("motion", "export", tmp_path / "clip.person01.npz", "--format", "smpl")
    assert ended.code == 0
    assert ended.out == f"{tmp_path / 'clip.person01.smpl'}\n"
    assert (tmp_path / "clip.person01.smpl").stat().st_size > 100


def test_bench(clip: Path, fasthmr: Callable[..., Ended]) -> None:
    ended = fasthmr("bench", "pipeline", clip, "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["frames"] == 12
    assert "frames/s" in fasthmr("bench", "pipeline", clip).out


# --- exit codes


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadCall("x"), 2),
        (BadInput("x"), 3),
        (NobodyFound("x"), 4),
        (MissingModel("x"), 5),
        (Cancelled("x"), 130),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("x"), 1),
    ],
)
def test_every_error_has_its_exit_code(
    error: BaseException, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report(error) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert ("ZeroDivisionError" in err) == (code == 1)


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], 0),
        ([0, 0], 0),
        ([0, 4], 4),
        ([4, 3, 0], 3),
        ([3, 2], 2),
        ([2, 5, 3], 5),
        ([5, 1], 1),
        ([1, 130], 130),
    ],
)
def test_the_worst_of_several(codes: Sequence[int], code: int) -> None:
    assert worst(codes) == code
    assert worst(list(reversed(codes))) == code


BAD_CALLS: dict[str, list[object]] = {
    "no command": [],
    "no such command": ["dance"],
    "no clip": ["recover", "--out", "OUT"],
    "no out": ["recover", "CLIP"],
    "no number": ["recover", "CLIP", "--out", "OUT", "--start", "soon"],
    "a start before the clip": ["recover", "CLIP", "--out", "OUT", "--start", "-1"],
    "an end before the start": ["recover", "CLIP", "--out", "OUT", "--start", "0.2", "--end", "0.1"],
    "a start after the clip": ["recover", "CLIP", "--out", "OUT", "--start", "99"],
    "a person who is not there": ["recover", "CLIP", "--out", "OUT", "--person", "3"],
    "a person that is none": ["recover", "CLIP", "--out", "OUT", "--person", "me"],
    "a field of view behind one's back": ["recover", "CLIP", "--out", "OUT", "--camera-fov", "270"],
    "an unknown model": ["recover", "CLIP", "--out", "OUT", "--model", "magic"],
    "tokens that fill no tile": ["recover", "CLIP", "--out", "OUT", "--model", "hmr2", "--tokens", "100"],
    "tokens of no encoder": ["recover", "CLIP", "--out", "OUT", "--tokens", "96"],
    "an unknown precision": ["recover", "CLIP", "--out", "OUT", "--model", "hmr2", "--precision", "int4"],
    "an unknown format": ["motion", "export", "CLIP", "--format", "gif"],
    "a loop of nothing": ["bench", "pipeline", "CLIP", "--loop", "0"],
}


@pytest.mark.parametrize("words", BAD_CALLS.values(), ids=BAD_CALLS.keys())
def test_bad_calls_end_with_2(
    words: Sequence[object], clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]
) -> None:
    out = tmp_path / "out"
    ended = fasthmr(*({"CLIP": clip, "OUT": out}.get(str(word), word) for word in words))
    assert ended.code == 2
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert len(ended.err) > 20
    assert not list(out.glob("*.npz"))


def test_an_encoder_without_its_checkpoint_is_said_so_plainly(
    clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]
) -> None:
    ended = fasthmr("recover", clip, "--out", tmp_path / "out", "--model", "hmr2")
    assert ended.code == 5
    assert "'hmr2' needs its checkpoint" in ended.err
    nowhere = tmp_path / "epoch=35-step=1000000.ckpt"
    ended = fasthmr("recover", clip, "--out", tmp_path / "out", "--model", "hmr2", "--checkpoint", nowhere)
    assert ended.code == 5
    assert str(nowhere) in ended.err
    assert not (tmp_path / "out").exists()


def write_sound(path: Path) -> None:
    """A file that holds a second of silence and no picture."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        assert isinstance(stream, av.AudioStream)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def make_bad_footage(kind: str, folder: Path) -> Path:
    path = folder / "bad.mp4"
    match kind:
        case "missing":
            pass
        case "folder":
            path.mkdir()
        case "empty":
            path.touch()
        case "truncated":
            data = write_clip(folder / "whole.mp4", frames=60).read_bytes()
            path.write_bytes(data[: len(data) // 3])
        case "audio":
            write_sound(path)
        case "text":
            path.write_text("This is not a video.\n" * 50)
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(50_000))
    return path


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "truncated", "audio", "text", "noise"])
def test_bad_footage_ends_with_3_says_which_and_writes_nothing(
    kind: str, tmp_path: Path, fasthmr: Callable[..., Ended]
) -> None:
    path = make_bad_footage(kind, tmp_path)
    ended = fasthmr("recover", path, "--out", tmp_path / "out")
    assert ended.code == 3
    assert str(path) in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out").exists()


def test_nobody_ends_with_4(
    clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NOBODY", "1")
    ended = fasthmr("recover", clip, "--out", tmp_path / "out")
    assert ended.code == 4
    assert str(clip) in ended.err
    assert not list((tmp_path / "out").glob("*.npz"))
    assert json.loads((tmp_path / "out/clip.job/job.json").read_text())["state"] == "failed"


def test_a_crash_ends_with_1_and_a_traceback_in_the_log(
    clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_CRASH", "1")
    ended = fasthmr("recover", clip, "--out", tmp_path / "out", "--json")
    assert ended.code == 1
    assert json.loads(ended.out)["kind"] == "InternalError"
    assert "internal error" in ended.err
    assert "the fit fell over" in (tmp_path / "out/clip.job/log.txt").read_text()


def test_a_full_disk_ends_with_3_and_keeps_what_was_there(
    clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    fasthmr("recover", clip, "--out", out, "--person", "1")
    before = {path: path.read_bytes() for path in out.rglob("*.npz")}

    def refuse(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    ended = fasthmr("recover", clip, "--out", out, "--person", "1", "--camera-fov", "70")
    assert ended.code == 3
    assert "Free some space" in ended.err
    assert {path: path.read_bytes() for path in out.rglob("*.npz")} == before
    assert not list(out.rglob("*.part"))


def test_a_folder_that_cannot_be_written_ends_with_3(
    clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]
) -> None:
    (tmp_path / "out").write_text("a file where the folder should go")
    ended = fasthmr("recover", clip, "--out", tmp_path / "out")
    assert ended.code == 3
    assert "cannot be written" in ended.err


@pytest.mark.parametrize("content", [None, b"", b"no motion", b"PK\x03\x04 half an archive"])
def test_a_corrupt_motion_file_ends_with_3(
    content: bytes | None, tmp_path: Path, fasthmr: Callable[..., Ended]
) -> None:
    path = tmp_path / "clip.person01.npz"
    if content is not None:
        path.write_bytes(content)
    ended = fasthmr("motion", "export", path)
    assert ended.code == 3
    assert str(path) in ended.err
    assert not path.with_suffix(".smpl").exists()


def test_a_motion_file_of_a_newer_schema_ends_with_3(
    clip: Path, tmp_path: Path, fasthmr: Callable[..., Ended]
) -> None:
    fasthmr("recover", clip, "--out", tmp_path, "--person", "1")
    path = tmp_path / "clip.person01.npz"
    motion = Motion.load(path)
    newer = Motion(**{**vars(motion), "meta": {**motion.meta, "schema": 99}})
    newer.save(path)
    ended = fasthmr("motion", "export", path)
    assert ended.code == 3
    assert "newer" in ended.err
