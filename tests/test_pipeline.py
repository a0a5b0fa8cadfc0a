# SPDX-License-Identifier: Apache-2.0
"""The whole flow with stand-ins: what it writes, what it keeps, what it refuses."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import av
import numpy as np
import pytest

from fasthmr.errors import BadCall, BadInput, Cancelled, MissingModel, NobodyFound
from fasthmr.motion import Motion
from fasthmr.pipeline import RecoverRequest, recover
from fasthmr.progress import Progress
from fasthmr.request import clip_name
from fasthmr.stage_clock import STAGES
from fasthmr.survey import survey

WORK = ("find people", "fit", "place")


class Listener(Progress):
    """Keeps the reports; cancels at a stage when told to."""

    def __init__(self, cancel_at: str = "") -> None:
        super().__init__()
        self.cancel_at = cancel_at
        self.reports: list[tuple[str, int, int | None]] = []

    def show(self, stage: str, done: int, total: int | None) -> None:
        self.reports.append((stage, done, total))
        if stage == self.cancel_at:
            self.cancelled.set()


def work_of(parts: ModuleType) -> list[str]:
    """What was really done since the last time this was asked."""
    done = [call for call in parts.CALLS if call in WORK]
    parts.CALLS.clear()
    return done


def contents(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_job_leaves_motions_and_every_stage(clip: Path, tmp_path: Path, fake_parts: ModuleType) -> None:
    out = tmp_path / "new" / "out"
    result = recover(RecoverRequest(clip, out))
    assert result.folder == out / "clip.job"
    assert result.motions == (out / "clip.person01.npz", out / "clip.person02.npz")
    assert result.body is None
    assert contents(out) - {"clip.job/.lock"} == {
        "clip.person01.npz",
        "clip.person02.npz",
        "clip.job/job.json",
        "clip.job/log.txt",
        "clip.job/progress.jsonl",
        "clip.job/people.npz",
        "clip.job/fit.person01.npz",
        "clip.job/fit.person02.npz",
        "clip.job/result.json",
    }
    written = json.loads((result.folder / "result.json").read_text())
    assert written["motions"] == ["clip.person01.npz", "clip.person02.npz"]
    assert json.loads((result.folder / "job.json").read_text())["state"] == "done"


def test_a_motion_says_where_it_comes_from(clip: Path, tmp_path: Path, fake_parts: ModuleType) -> None:
    import hashlib

    result = recover(RecoverRequest(clip, tmp_path / "out", person="2", camera_fov=60.0))
    motion = Motion.load(result.motions[0])
    assert motion.frame_indices.tolist() == list(range(2, 12))
    assert motion.meta["footage"] == {
        "name": "clip.mp4",
        "sha256": hashlib.sha256(clip.read_bytes()).hexdigest(),
    }
    settings = {"person": "2", "start": None, "end": None, "camera_fov": 60.0, "frame_rate": None}
    assert motion.meta["settings"] == settings
    assert motion.meta["licences"]["body"] == "CC0-1.0"


def test_the_same_job_again_does_nothing_again(clip: Path, tmp_path: Path, fake_parts: ModuleType) -> None:
    request = RecoverRequest(clip, tmp_path / "out")
    first = recover(request)
    assert work_of(fake_parts) == ["find people", "fit", "fit", "place"]
    times = [path.stat().st_mtime_ns for path in first.motions]
    second = recover(request)
    assert work_of(fake_parts) == []
    assert second.motions == first.motions
    assert second.reused == ("people", "fit.person01", "fit.person02", "place")
    assert [path.stat().st_mtime_ns for path in second.motions] == times


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"camera_fov": 70.0}, ["fit", "fit", "place"]),
        ({"person": "1"}, ["place"]),
        ({"person": "largest"}, ["place"]),
        ({"start": 0.1}, ["find people", "fit", "fit", "place"]),
        ({"end": 0.3}, ["find people", "fit", "fit", "place"]),
        ({"body": "my.npz"}, ["place"]),
        ({"device": "cpu"}, []),
    ],
)
def test_a_changed_setting_costs_only_what_depends_on_it(
    change: dict[str, object],
    again: Sequence[str],
    clip: Path,
    tmp_path: Path,
    fake_parts: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recover(RecoverRequest(clip, tmp_path / "out"))
    work_of(fake_parts)
    if "body" in change:
        monkeypatch.setattr(fake_parts.FakeBody, "name", "another name, the same sha256")
    recover(RecoverRequest(clip, tmp_path / "out", **change))  # type: ignore[arg-type]
    assert work_of(fake_parts) == again


def test_another_body_is_fitted_anew(
    clip: Path, tmp_path: Path, fake_parts: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    recover(RecoverRequest(clip, tmp_path / "out"))
    work_of(fake_parts)
    monkeypatch.setattr(fake_parts.FakeBody, "sha256", "0ther")
    recover(RecoverRequest(clip, tmp_path / "out"))
    assert work_of(fake_parts) == ["fit", "fit", "place"]


def test_changed_footage_is_done_anew(clip: Path, tmp_path: Path, fake_parts: ModuleType) -> None:
    from .conftest import write_clip

    recover(RecoverRequest(clip, tmp_path / "out"))
    work_of(fake_parts)
    write_clip(clip, frames=7)
    result = recover(RecoverRequest(clip, tmp_path / "out", person="1"))
    assert work_of(fake_parts) == ["find people", "fit", "place"]
    assert Motion.load(result.motions[0]).frame_count == 7


@pytest.mark.parametrize("stage", ["people", "fit", "place", "write"])
def test_a_cancelled_job_keeps_its_finished_stages(
    stage: str, clip: Path, tmp_path: Path, fake_parts: ModuleType
) -> None:
    request = RecoverRequest(clip, tmp_path / "out", person="1")
    with pytest.raises(Cancelled):
        recover(request, Listener(cancel_at=stage))
    assert "Cancelled" in (tmp_path / "out" / "clip.job" / "log.txt").read_text()
    work_of(fake_parts)
    recover(request)
    # a stage that was not interrupted before its end is finished
    left = {"people": WORK, "fit": WORK[1:], "place": (), "write": ()}
    assert work_of(fake_parts) == list(left[stage])


def test_a_crash_keeps_the_finished_stages(
    clip: Path, tmp_path: Path, fake_parts: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = RecoverRequest(clip, tmp_path / "out")
    monkeypatch.setenv("FAKE_CRASH", "1")
    with pytest.raises(RuntimeError, match="fell over"):
        recover(request)
    monkeypatch.delenv("FAKE_CRASH")
    assert not list((tmp_path / "out").glob("*.npz"))
    work_of(fake_parts)
    recover(request)
    assert work_of(fake_parts) == ["fit", "fit", "place"]


def test_progress_goes_through_the_stages_and_never_back(
    clip: Path, tmp_path: Path, fake_parts: ModuleType
) -> None:
    listener = Listener()
    recover(RecoverRequest(clip, tmp_path / "out"), listener)
    for (stage, done, _), (next_stage, next_done, _) in itertools.pairwise(listener.reports):
        assert STAGES.index(next_stage) >= STAGES.index(stage)
        assert next_stage != stage or next_done >= done
    last = {stage: (done, total) for stage, done, total in listener.reports}
    assert list(last) == ["probe", "people", "fit", "place", "write"]
    assert all(done == total for done, total in last.values())
    assert last["fit"] == (22, 22)  # 12 frames of the first person and 10 of the second


def test_seconds_cover_every_stage(clip: Path, tmp_path: Path, fake_parts: ModuleType) -> None:
    seconds = recover(RecoverRequest(clip, tmp_path / "out")).seconds_by_stage
    assert list(seconds) == ["probe", "people", "fit", "place", "write"]
    assert all(value >= 0 for value in seconds.values())


def test_a_body_of_ones_own_is_written_beside_the_motions(
    clip: Path, tmp_path: Path, fake_parts: ModuleType
) -> None:
    result = recover(RecoverRequest(clip, tmp_path / "out", body="smpl.pkl"))
    assert result.body == tmp_path / "out" / "clip.body.npz"
    assert result.body.exists()


# --- who


def test_people_are_chosen_by_number_once_each_in_order(
    clip: Path, tmp_path: Path, fake_parts: ModuleType
) -> None:
    result = recover(RecoverRequest(clip, tmp_path / "out", person=" 2, 1,2 "))
    assert [path.name for path in result.motions] == ["clip.person01.npz", "clip.person02.npz"]
    result = recover(RecoverRequest(clip, tmp_path / "out", person="largest"))
    assert [path.name for path in result.motions] == ["clip.person01.npz"]


def test_an_unknown_person_is_refused_with_those_there_are(
    clip: Path, tmp_path: Path, fake_parts: ModuleType
) -> None:
    with pytest.raises(BadCall, match=r"no person 0, 7.*1 \(frames 0 to 11\), 2 \(frames 2 to 11\)"):
        recover(RecoverRequest(clip, tmp_path / "out", person="7,1,0"))


def test_nobody_in_the_clip(
    clip: Path, tmp_path: Path, fake_parts: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_NOBODY", "1")
    with pytest.raises(NobodyFound):
        recover(RecoverRequest(clip, tmp_path / "out"))
    assert not list((tmp_path / "out").glob("**/*.npz"))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"person": "tallest"}, BadCall, "Who is person 'tallest'"),
        ({"person": ""}, BadCall, "Who is"),
        ({"person": "1;2"}, BadCall, "Who is"),
        ({"camera_fov": 0.0}, BadCall, "field of view"),
        ({"camera_fov": 200.0}, BadCall, "field of view"),
        ({"camera_fov": float("nan")}, BadCall, "field of view"),
        ({"model": "hmr2"}, MissingModel, r"'hmr2' needs its checkpoint.*docs/checkpoints\.md"),
        ({"model": "camerahmr"}, MissingModel, "'camerahmr' needs its checkpoint"),
        ({"model": "magic"}, BadCall, "Unknown model 'magic'.*open, landmarks, hmr2, camerahmr"),
        ({"checkpoint": Path("x.ckpt")}, MissingModel, r"x\.ckpt is not there"),
        ({"model": "hmr2", "checkpoint": Path()}, MissingModel, "is a folder"),
        ({"precision": "int4"}, BadCall, "Unknown precision 'int4'"),
        ({"model": "landmarks", "precision": "bf16"}, BadCall, "has no encoder"),
        ({"model": "landmarks", "tokens": 96}, BadCall, "has no encoder"),
        ({"model": "hmr2", "tokens": 100}, BadCall, "multiple of 16; 100"),
        ({"model": "hmr2", "tokens": 0}, BadCall, "32 to 192"),
        ({"model": "hmr2", "tokens": 208}, BadCall, "32 to 192"),
        ({"start": -1.0}, BadCall, "start"),
        ({"start": 2.0, "end": 1.0}, BadCall, "end"),
        ({"start": 3600.0}, BadCall, "3600"),
        ({"end": float("inf")}, BadCall, "end"),
        ({"footage": Path("nowhere.mp4")}, BadInput, "nowhere.mp4"),
    ],
)
def test_a_request_that_cannot_work_leaves_nothing_behind(
    change: dict[str, object],
    error: type[Exception],
    message: str,
    clip: Path,
    tmp_path: Path,
    fake_parts: ModuleType,
) -> None:
    values = {"footage": clip, "out": tmp_path / "out"} | change
    with pytest.raises(error, match=message):
        recover(RecoverRequest(**values))  # type: ignore[arg-type]
    assert not (tmp_path / "out").exists()
    assert work_of(fake_parts) == []


def test_an_unknown_device_is_refused(clip: Path, tmp_path: Path) -> None:
    with pytest.raises(BadCall, match="Unknown device 'quantum'"):
        recover(RecoverRequest(clip, tmp_path / "out", device="quantum"))


# --- names


def test_names_of_results(tmp_path: Path) -> None:
    (tmp_path / "shot.v2").mkdir()
    names = {
        "a/clip.mp4": "clip",
        "a/my clip.final.mov": "my clip.final",
        "a/shot_%04d.png": "shot",
        "a/shot.####.exr": "shot",
        "a/shot-*.png": "shot",
        "%04d.png": "clip",
        str(tmp_path / "shot.v2"): "shot.v2",
    }
    assert {path: clip_name(Path(path)) for path in names} == names


# --- the survey


def test_survey_lists_everybody_with_a_picture(clip: Path, tmp_path: Path, fake_parts: ModuleType) -> None:
    found = survey(clip, tmp_path / "out")
    assert found.folder == str(tmp_path / "out" / "clip.job")
    first, second = found.people
    assert (first.person, first.first_frame, first.last_frame, first.frames) == (1, 0, 11, 12)
    assert (second.person, second.first_frame, second.start) == (2, 2, round(2 / 30, 3))
    assert (first.coverage, first.box_height) == (1.0, 40.0)
    for one in found.people:
        assert one.thumbnail is not None
        with av.open(one.thumbnail) as picture:
            image = next(picture.decode(video=0)).to_ndarray(format="rgb24")
        assert image.shape == (8, 8, 3)
        np.testing.assert_allclose(image, image[0, 0, 0], atol=1)  # grey, as the clip


def test_a_recovery_goes_on_from_a_survey(clip: Path, tmp_path: Path, fake_parts: ModuleType) -> None:
    survey(clip, tmp_path / "out")
    assert work_of(fake_parts) == ["find people"]
    recover(RecoverRequest(clip, tmp_path / "out", person="1"))
    assert work_of(fake_parts) == ["fit", "place"]
    survey(clip, tmp_path / "out")
    assert work_of(fake_parts) == []
    recover(RecoverRequest(clip, tmp_path / "out", person="1"))
    assert work_of(fake_parts) == []


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """Twelve pictures in a folder."""
    folder = tmp_path / "shot"
    folder.mkdir()
    for index in range(12):
        with av.open(str(folder / f"shot_{index:04d}.png"), "w", format="image2") as picture:
            stream = picture.add_stream("png", rate=1)
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb24"
            grey = np.full((48, 64, 3), 20 + index, np.uint8)
            picture.mux(stream.encode(av.VideoFrame.from_ndarray(grey)))
            picture.mux(stream.encode(None))
    return folder


def test_an_image_sequence_runs_at_the_rate_asked_for(
    sequence: Path, tmp_path: Path, fake_parts: ModuleType
) -> None:
    def timestamps(frame_rate: float | None) -> np.ndarray:
        result = recover(RecoverRequest(sequence, tmp_path / "out", person="1", frame_rate=frame_rate))
        return Motion.load(result.motions[0]).timestamps

    np.testing.assert_allclose(timestamps(None), np.arange(12) / 24)
    work_of(fake_parts)
    np.testing.assert_allclose(timestamps(30.0), np.arange(12) / 30)
    assert "find people" in work_of(fake_parts)  # what was found at another rate is not taken for it
    first = survey(sequence, tmp_path / "out", frame_rate=12.0).people[0]
    assert first.end == round(11 / 12, 3)


@pytest.mark.parametrize("frame_rate", [0.0, -24.0, 1e6])
def test_frame_rates_that_cannot_be(clip: Path, tmp_path: Path, frame_rate: float) -> None:
    with pytest.raises(BadCall, match="frames per second"):
        recover(RecoverRequest(clip, tmp_path / "out", frame_rate=frame_rate))
    with pytest.raises(BadCall, match="frames per second"):
        survey(clip, tmp_path / "out", frame_rate=frame_rate)


def test_a_folder_can_be_moved_with_its_clip(clip: Path, tmp_path: Path, fake_parts: ModuleType) -> None:
    recover(RecoverRequest(clip, tmp_path / "out", person="1"))
    work_of(fake_parts)
    moved = tmp_path / "moved"
    moved.mkdir()
    shutil.move(tmp_path / "out", moved / "out")
    shutil.move(clip, moved / clip.name)
    recover(RecoverRequest(moved / clip.name, moved / "out", person="1"))
    assert work_of(fake_parts) == []
