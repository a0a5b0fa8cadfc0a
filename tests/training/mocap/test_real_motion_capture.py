# SPDX-License-Identifier: Apache-2.0
"""Real clips of CMU's database: two formats agree about the same recording, and bodies fit them."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from fasthmr.body import load_body
from fasthmr.training.mocap.archives import read_sources
from fasthmr.training.mocap.calibrate import anchor_positions, calibrate
from fasthmr.training.mocap.fit_skeleton import fit_skeleton
from fasthmr.training.mocap.joint_maps import joint_map
from fasthmr.training.mocap.resample import resample
from fasthmr.training.mocap.source_motion import SourceMotion

DATA = Path(__file__).resolve().parents[4] / "shared/data/mocap"


def few_clips(folder: Path, paths: tuple[str, ...]) -> dict[str, SourceMotion]:
    """Some clips of the real data, through a manifest that lists no others."""
    if not (DATA / "manifest.csv").is_file():
        pytest.skip(f"there is no motion capture at {DATA}")
    with (DATA / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["path"] in paths]
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    for source in {row["source"] for row in rows}:
        (folder / f"{source}.tar.xz").symlink_to(DATA / f"{source}.tar.xz")

    def failed(name: str, reason: object) -> None:
        raise AssertionError(f"{name}: {reason}")

    return {source.name: source for source in read_sources(folder, None, failed)}


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SourceMotion]:
    return few_clips(
        tmp_path_factory.mktemp("few"),
        (
            "cmu_humanoid_gail/mocap/animations/07_01.amc",
            "cmu_humanoid_gail/mocap/animations/08_11.amc",
            "cmu_jump_retargeted/cmu01-09/02/02_01.txt",
            "cmu_jump_retargeted/cmu10-14/13/13_42.txt",
            "cmu_motion_out/amc/martialwalk/135_04.amc",
            "cmu_motion_out/amc/walk/walk_01.amc",
        ),
    )


def seen_at_thirty(source: SourceMotion) -> np.ndarray:
    anchors = joint_map(source.skeleton, source.joint_names)
    return resample(anchor_positions(anchors, source.joint_names, source.positions), source.frame_rate)


@pytest.mark.parametrize("skeleton", ["cmu_asf", "deepmimic"])
def test_bodies_fit_real_joints(skeleton: str, clips: dict[str, SourceMotion]) -> None:
    body = load_body("open")
    chosen = [source for source in clips.values() if source.skeleton == skeleton][:2]
    anchors = joint_map(skeleton, chosen[0].joint_names)
    seen = [seen_at_thirty(source)[:120] for source in chosen]
    found = calibrate(anchors, seen, body)
    errors = np.concatenate([fit_skeleton(one, found, body).errors for one in seen])
    assert np.median(errors) < 0.012  # the whole conversion: 3 to 7 mm
    assert np.percentile(errors, 95) < 0.04


def test_people_are_as_tall_as_people_and_stand_upright(clips: dict[str, SourceMotion]) -> None:
    for source in clips.values():
        seen = seen_at_thirty(source)
        places = [anchor.place for anchor in joint_map(source.skeleton, source.joint_names)]
        head, ankle = seen[:, places.index("head")], seen[:, places.index("left_ankle")]
        stature = np.percentile(head[:, 2] - ankle[:, 2], 90)
        assert 1.2 < stature < 1.75, source.name
        assert 0.3 < np.percentile(np.linalg.norm(np.diff(seen[:, 0], axis=0), axis=-1), 90) * 30 < 6


@pytest.mark.slow
def test_two_formats_agree_about_one_recording(clips: dict[str, SourceMotion], tmp_path: Path) -> None:
    """A kick as BVH, and as ASF/AMC under another name: frame rate, axes, scale and order of joints.

    That they are the same is also why the second is kept out of training, see ``held_out.py``.
    """
    (bvh,) = few_clips(tmp_path, ("cmu_acrnn/martial/04.bvh",)).values()
    amc = clips["cmu_motion_out/amc/martialwalk/135_04"]
    assert bvh.frame_rate == amc.frame_rate
    pairs = (("left_ankle", "right_ankle"), ("left_wrist", "right_wrist"), ("left_hip", "left_ankle"))
    first = 1  # the BVH has a frame more, at the beginning
    for names in pairs:
        rows = []
        for source in (bvh, amc):
            anchors = joint_map(source.skeleton, source.joint_names)
            places = anchor_positions(anchors, source.joint_names, source.positions)
            where = [anchor.place for anchor in anchors]
            a, b = (places[:, where.index(name)] for name in names)
            rows.append(np.stack([np.linalg.norm(a - b, axis=-1), a[:, 2] - b[:, 2]], -1))
        count = min(len(rows[0]) - first, len(rows[1]))
        theirs, ours = rows[0][first + 60 : first + count], rows[1][60:count]
        for column in range(2):
            a, b = theirs[:, column], ours[:, column]
            assert np.corrcoef(a, b)[0, 1] > 0.95, (names, column)
            assert 0.85 < a.std() / b.std() < 1.15, (names, column)
