# SPDX-License-Identifier: Apache-2.0
"""A folder of clips: every one is read or named with a reason, and none ends the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fasthmr.errors import BadInput
from fasthmr.training.mocap.archives import read_manifest, read_sources
from fasthmr.training.mocap.source_motion import SourceMotion

from .tiny_data import BROKEN, HEADER, SOUND, write_archive, write_data
from .written_formats import AsfBone, amc_text, asf_motion, asf_text


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("mocap") / "data")


def read_all(folder: Path, only: list[str] | None = None) -> tuple[dict[str, SourceMotion], dict[str, str]]:
    failed: dict[str, str] = {}

    def tell(name: str, reason: object) -> None:
        failed[name] = str(reason)

    return {source.name: source for source in read_sources(folder, only, tell)}, failed


def test_sound_clips_are_read_and_the_others_named(data: Path) -> None:
    sources, failed = read_all(data)
    assert set(sources) == {*(name for name, _, _ in SOUND), "jumps/135/135_03", "bones/01_01"}
    for name, subject, label in SOUND:
        assert (sources[name].subject, sources[name].label) == (subject, label)
    assert sources["jumps/02/02_01"].trial == 1
    without_endings = {name.rsplit(".", 1)[0]: reason for name, reason in failed.items()}
    assert set(without_endings) == set(BROKEN) - {"bones/01_01"}
    for name, reason in without_endings.items():
        assert BROKEN[name] in reason


def test_a_folder_and_an_archive_give_the_same(data: Path, tmp_path: Path) -> None:
    write_archive(
        tmp_path / "maps.tar.xz", {"maps/train/walk_2.txt": (data / "maps/train/walk_2.txt").read_text()}
    )
    (tmp_path / "manifest.csv").write_text(f"{HEADER}\nmaps/train/walk_2.txt,maps,expmap,120,,,,walking\n")
    (packed,) = read_sources(tmp_path)
    unpacked = read_all(data, ["maps"])[0]["maps/train/walk_2"]
    np.testing.assert_array_equal(packed.positions, unpacked.positions)


def test_only_some_sources(data: Path) -> None:
    assert set(read_all(data, ["maps"])[0]) == {"maps/train/walk_2"}
    with pytest.raises(BadInput, match=r"has no fish\. It has: bones, jumps, maps, none"):
        read_all(data, ["maps", "fish"])


def test_a_damaged_archive_does_not_end_the_others(data: Path, tmp_path: Path) -> None:
    folder = write_data(tmp_path / "data")
    whole = (folder / "jumps.tar.xz").read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:400] + b"\0" * 40 + whole[440:], b"not an archive", b""):
        (folder / "jumps.tar.xz").write_bytes(broken)
        sources, failed = read_all(folder)
        assert set(sources) == {"maps/train/walk_2", "bones/01_01"}
        assert "jumps.tar.xz" in failed["jumps"]
        assert "Get it again" in failed["jumps"]


LONG = (AsfBone("lfemur", "root", (0, -1, 0), 9.0, (0, 0, 0), ("rx",)),)
SHORT = (AsfBone("lfemur", "root", (0, -1, 0), 5.0, (0, 0, 0), ("rx",)),)


def amc_folder(folder: Path, clip: str, skeletons: dict[str, tuple[AsfBone, ...]]) -> Path:
    (folder / "manifest.csv").write_text(f"{HEADER}\n{clip},amc,amc,120,,,07_01,walk\n")
    texts = {clip: amc_text(asf_motion(3, bones=LONG))}
    write_archive(folder / "amc.tar.xz", texts | {name: asf_text(bones) for name, bones in skeletons.items()})
    return folder


@pytest.mark.parametrize(
    ("clip", "skeletons"),
    [
        ("amc/07/07_01.amc", {"amc/07/07.asf": LONG, "amc/08/08.asf": SHORT}),
        ("amc/all/07_01.amc", {"amc/all/06.asf": SHORT, "amc/all/07.asf": LONG}),
        ("amc/all/07_01.amc", {"amc/asf/006.asf": SHORT, "amc/asf/007.asf": LONG}),
        ("amc/golf/x_01.amc", {"amc/asf/dance.asf": SHORT, "amc/asf/golf.asf": LONG}),
        ("amc/a/x_01.amc", {"amc/a/any.asf": LONG, "amc/b/any.asf": SHORT}),
        ("amc/a/x_01.amc", {"amc/b/12.asf": LONG}),
    ],
    ids=["subject's folder", "subject among others", "zeros", "folder's name", "beside it", "only one"],
)
def test_a_clip_finds_its_skeleton(
    clip: str, skeletons: dict[str, tuple[AsfBone, ...]], tmp_path: Path
) -> None:
    (source,) = read_sources(amc_folder(tmp_path, clip, skeletons))
    length = np.linalg.norm(source.positions[0, 1] - source.positions[0, 0])
    assert length == pytest.approx(9 * 2.54 / 45, rel=1e-5)


@pytest.mark.parametrize(
    ("skeletons", "message"),
    [({}, "no ASF skeleton beside it"), ({"amc/b/1.asf": LONG, "amc/b/2.asf": SHORT}, "several ASF")],
)
def test_a_clip_without_its_skeleton(
    skeletons: dict[str, tuple[AsfBone, ...]], message: str, tmp_path: Path
) -> None:
    sources, failed = read_all(amc_folder(tmp_path, "amc/a/x_01.amc", skeletons))
    assert not sources
    assert message in failed["amc/a/x_01.amc"]


def test_wrong_frame_rates_are_put_right(tmp_path: Path) -> None:
    rows = "cmu_acrnn/salsa/01.bvh,x,bvh,120.0,,,,salsa\ncmu_acrnn/indian/01.bvh,x,bvh,120,,,,x\n"
    (tmp_path / "manifest.csv").write_text(f"{HEADER}\n{rows}")
    assert [clip.frame_rate for clip in read_manifest(tmp_path)] == [60.0, 120.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,format\na/b.amc,amc\n", "no column 'fps'"),
        (f"{HEADER}\na/b.amc,a,amc,fast,,,01_01,walk\n", "line 2.*fast"),
        (f"{HEADER}\na/b.amc,a,amc,0,,,01_01,walk\n", "line 2.*0 frames a second"),
        (f"{HEADER}\na/b.amc,a,amc,120\n", "line 2"),
        (f"{HEADER}\na/b.amc,a,amc,120,,,1_1,x\n../b.amc,a,amc,120,,,01_01,walk\n", r"line 3.*\.\./b"),
        (f"{HEADER}\n/etc/b.amc,a,amc,120,,,01_01,walk\n", "line 2"),
    ],
    ids=["column", "rate", "zero", "short", "above", "absolute"],
)
def test_what_is_no_manifest_is_said(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(BadInput, match=message):
        read_manifest(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="and no AMASS files"):
        list(read_sources(tmp_path))
    with pytest.raises(BadInput, match="There is no folder"):
        list(read_sources(tmp_path / "gone"))
    with pytest.raises(BadInput, match="cannot be read"):
        read_manifest(tmp_path)
