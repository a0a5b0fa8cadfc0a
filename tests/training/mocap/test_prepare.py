# SPDX-License-Identifier: Apache-2.0
"""From a folder of clips to a set: end to end on a tiny one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.body import load_body
from fasthmr.body.skeleton import INDEX
from fasthmr.errors import BadInput, Cancelled
from fasthmr.files import load_arrays
from fasthmr.progress import Progress
from fasthmr.training.mocap import fit_pieces
from fasthmr.training.mocap.calibrate import anchor_positions
from fasthmr.training.mocap.expmap import read_expmap
from fasthmr.training.mocap.fit_pieces import limb_lengths
from fasthmr.training.mocap.joint_maps import joint_map
from fasthmr.training.mocap.packed import MocapSet
from fasthmr.training.mocap.prepare import PrepareRequest, PrepareResult, prepare

from .tiny_data import BROKEN, SOUND, write_data
from .written_formats import expmap_rows, expmap_text


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("mocap") / "data")


@pytest.fixture(scope="module")
def converted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[PrepareRequest, PrepareResult]:
    request = PrepareRequest(data, tmp_path_factory.mktemp("converted") / "set")
    return request, prepare(request)


@pytest.fixture
def kept(converted: tuple[PrepareRequest, PrepareResult], tmp_path: Path) -> PrepareRequest:
    """A place whose set was deleted; the work folder is that of the whole conversion."""
    request = PrepareRequest(converted[0].data, tmp_path / "again")
    shutil.copytree(converted[0].work, request.work)
    return request


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_set_holds_the_sound_clips(converted: tuple[PrepareRequest, PrepareResult]) -> None:
    packed = MocapSet.open(converted[0].out)
    assert [(clip.name, clip.subject, clip.label) for clip in packed.clips] == list(SOUND)
    assert [clip.count for clip in packed.clips] == [70, 60, 50]
    assert [clip.source_frame_rate for clip in packed.clips] == [120, 30, 30]
    assert {clip.name: clip.split for clip in packed.clips} == {
        "maps/train/walk_2": "train",
        "jumps/02/02_01": "validation",
        "jumps/139/139_16": "test",
    }


def test_bodies_go_where_the_joints_went(converted: tuple[PrepareRequest, PrepareResult]) -> None:
    """Knees, elbows and the rest of the packed body are near the source's, and as far above the floor."""
    request, result = converted
    packed, body = MocapSet.open(request.out), load_body("open")
    listing = json.loads((request.work / "read.json").read_text())["pieces"]
    for clip in packed.clips:
        piece = next(row for row in listing if row["name"] == clip.name)
        anchors = joint_map(piece["skeleton"], piece["joints"])
        seen = load_arrays(request.work / "read" / piece["file"])["seen"]
        joints, _ = body.joints(
            torch.from_numpy(packed.rotations(clip.start, clip.count)), torch.tensor(clip.betas)
        )
        joints = (joints - joints[:, :1]).numpy() + packed.pelvis(clip.start, clip.count)[:, None]
        for part in ("knee", "ankle", "elbow", "wrist"):
            for name in (f"left_{part}", f"right_{part}"):
                there = next(i for i, a in enumerate(anchors) if a.place == name and not any(a.shift))
                off = joints[:, INDEX[name]] - seen[:, there]
                off[:, 2] -= np.median(off[:, 2])  # the source's floor is elsewhere
                assert np.median(np.linalg.norm(off, axis=-1)) < 0.05, (clip.name, name)
        assert 0.5 < np.median(packed.pelvis(clip.start, clip.count)[:, 2]) < 1.2
    for median, high in result.errors.values():
        assert median < high < 40


def test_the_report_tells_all(converted: tuple[PrepareRequest, PrepareResult]) -> None:
    request, result = converted
    assert result.clips == 3
    assert result.minutes == {
        "train": pytest.approx(70 / 1800),
        "validation": pytest.approx(60 / 1800),
        "test": pytest.approx(50 / 1800),
    }
    assert set(result.errors) == {"cmu_expmap", "deepmimic"}
    assert result.thrown_out == {"copy": pytest.approx(1.5)}
    report = json.loads(result.report.read_text())
    assert report["clips"] == 3
    assert report["minutes"] == result.minutes
    assert report["thrown_out"][0]["clip"] == "jumps/135/135_03"
    assert len(report["unreadable"]) == len(BROKEN)
    for name, reason in BROKEN.items():
        assert any(row.startswith(name) and reason in row for row in report["unreadable"])
    assert "jumps/135/135_03" in (request.out / "report.txt").read_text()


def forbid(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError(f"{name} again")

    monkeypatch.setattr(f"fasthmr.training.mocap.{name}", forbidden)


def test_fits_are_not_made_again(
    kept: PrepareRequest,
    converted: tuple[PrepareRequest, PrepareResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forbid(monkeypatch, "pieces.read_sources")
    forbid(monkeypatch, "fit_pieces.fit_skeleton")
    result = prepare(kept)
    assert contents(kept.out) == contents(converted[0].out)
    assert result.errors == converted[1].errors


def test_a_damaged_fit_and_other_joints_are_fitted_again(
    kept: PrepareRequest, converted: tuple[PrepareRequest, PrepareResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged, lost = sorted((kept.work / "fit").glob("jumps_*.npz"))[:2]
    damaged.write_bytes(damaged.read_bytes()[:100])
    lost.unlink()
    fitted: list[int] = []
    original = fit_pieces.fit_skeleton

    def counting(seen: np.ndarray, *rest: object) -> object:
        fitted.append(len(seen))
        return original(seen, *rest)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(fit_pieces, "fit_skeleton", counting)
    prepare(kept)
    assert len(fitted) == 2
    assert contents(kept.out) == contents(converted[0].out)


class Stopping(Progress):
    """Stops when a stage has come so far."""

    def __init__(self, stage: str, done: int) -> None:
        super().__init__()
        self.stop = (stage, done)

    def show(self, stage: str, done: int, total: int | None) -> None:
        if stage == self.stop[0] and done >= self.stop[1]:
            self.cancelled.set()


def test_a_stopped_conversion_goes_on(
    data: Path, converted: tuple[PrepareRequest, PrepareResult], tmp_path: Path
) -> None:
    request = PrepareRequest(data, tmp_path / "set")
    with pytest.raises(Cancelled):
        prepare(request, Stopping("fit poses", 70))
    assert not request.out.exists()
    made = sorted(path.name for path in (request.work / "fit").iterdir())
    assert 0 < len(made) < 4
    times = {name: (request.work / "fit" / name).stat().st_mtime_ns for name in made}
    prepare(request)
    assert times == {name: (request.work / "fit" / name).stat().st_mtime_ns for name in made}
    assert contents(request.out) == contents(converted[0].out)


@pytest.mark.slow
def test_two_processes_give_the_same(
    data: Path, converted: tuple[PrepareRequest, PrepareResult], tmp_path: Path
) -> None:
    request = PrepareRequest(data, tmp_path / "set", jobs=2)
    assert prepare(request).errors == converted[1].errors
    assert contents(request.out) == contents(converted[0].out)


@pytest.mark.slow
def test_two_processes_can_be_stopped(data: Path, tmp_path: Path) -> None:
    request = PrepareRequest(data, tmp_path / "set", jobs=2)
    with pytest.raises(Cancelled):
        prepare(request, Stopping("fit poses", 1))
    assert not request.out.exists()


def test_threads_are_as_before(kept: PrepareRequest) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        prepare(kept)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_motion_on_an_smpl_body_needs_no_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid(monkeypatch, "fit_pieces.fit_skeleton")
    rng = np.random.default_rng(0)
    for name in ("KIT/3/walk_poses", "CMU/131/131_03_poses"):
        path = tmp_path / f"amass/{name}.npz"
        path.parent.mkdir(parents=True)
        seconds = np.arange(120)[:, None] / 60
        poses = 0.2 * np.sin(seconds + rng.uniform(0, 6, 156))
        poses[:, :3] = (np.pi / 2, 0, 0)
        np.savez(path, poses=poses, trans=np.zeros((120, 3)), mocap_framerate=60.0)
    (tmp_path / "amass/KIT/3/shape.npz").write_bytes(b"no archive")
    request = PrepareRequest(tmp_path / "amass", tmp_path / "set")
    result = prepare(request)
    clips = {clip.name: clip for clip in MocapSet.open(request.out).clips}
    assert {name: clip.split for name, clip in clips.items()} == {
        "CMU/131/131_03_poses": "test",
        "KIT/3/walk_poses": "train",
    }
    assert [clip.count for clip in clips.values()] == [60, 60]
    assert result.errors == {}
    assert [row.split(":")[0] for row in result.unreadable] == ["KIT/3/shape"]


def test_skeletons_are_told_apart_by_their_limbs() -> None:
    first, second = (read_expmap(expmap_text(expmap_rows(9, seed)), "a") for seed in (0, 1))
    anchors = joint_map("cmu_expmap", first.joint_names)
    a, b, longer = (
        limb_lengths(anchors, anchor_positions(anchors, first.joint_names, positions))
        for positions in (first.positions, second.positions, 1.1 * first.positions)
    )
    assert len(a) >= 8
    np.testing.assert_allclose(a, b, atol=1e-4)
    np.testing.assert_allclose(longer, 1.1 * a, atol=1e-4)


def out_is_a_file(request: PrepareRequest) -> PrepareRequest:
    request.out.write_text("mine")
    return request


def out_is_a_set(request: PrepareRequest) -> PrepareRequest:
    request.out.mkdir()
    (request.out / "clips.json").write_text("mine")
    return request


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (out_is_a_file, "is there already"),
        (out_is_a_set, "is there already"),
        (lambda r: PrepareRequest(r.data / "gone", r.out), "There is no folder"),
        (lambda r: PrepareRequest(r.data, r.data / "set"), "lies in the data"),
        (lambda r: PrepareRequest(r.data, r.out, ("fish",)), "has no fish"),
        (lambda r: PrepareRequest(r.data, r.out, ("bones",)), "No motion could be read.*has no joints for"),
    ],
    ids=["file", "set", "gone", "inside", "only", "nothing"],
)
def test_what_cannot_be_converted_is_said(
    change: Callable[[PrepareRequest], PrepareRequest], message: str, data: Path, tmp_path: Path
) -> None:
    request = change(PrepareRequest(data, tmp_path / "set"))
    before = sorted(path.name for path in data.iterdir())
    with pytest.raises(BadInput, match=message):
        prepare(request)
    assert sorted(path.name for path in data.iterdir()) == before
