# SPDX-License-Identifier: Apache-2.0
"""What is known of a fit decides whether it is made again, and who may learn from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fasthmr.body import load_body
from fasthmr.files import load_arrays, save_arrays
from fasthmr.progress import Progress
from fasthmr.training.mocap.calibrate import Calibration
from fasthmr.training.mocap.fit_pieces import _fit_key, calibrate_pieces, fit_pieces
from fasthmr.training.mocap.joint_maps import joint_map, skeleton_names
from fasthmr.training.mocap.pieces import Piece

from .synthetic_motion import true_motion

SKELETON = "deepmimic"
ANCHORS = joint_map(SKELETON, skeleton_names(SKELETON))


def on_a_body(work: Path, name: str, subject: int | None = None, count: int = 40) -> Piece:
    """A piece of somebody on an SMPL body who stands and slowly turns."""
    rotations = np.tile(np.eye(3, dtype=np.float32), (count, 24, 1, 1))
    yaw = Rotation.from_rotvec(np.outer(np.linspace(0, 1, count), (0, 0, 1)))
    rotations[:, 0] = (yaw * Rotation.from_euler("x", np.pi / 2)).as_matrix()
    pelvis = np.tile(np.array([1.0, 2.0, 7.0], np.float32), (count, 1))
    file = name.replace("/", "_") + ".npz"
    betas = np.zeros(10, np.float32)
    save_arrays(work / "read" / file, {"rotations": rotations, "pelvis": pelvis, "betas": betas})
    return Piece(name, name, "smpl", subject, "stand", name, 60.0, 2.0, file, count)


def fitted(work: Path, *pieces: Piece) -> list:
    return list(fit_pieces(work, pieces, [None] * len(pieces), 1, Progress()))


def test_the_floor_is_put_under_the_feet(tmp_path: Path) -> None:
    (one,) = fitted(tmp_path, on_a_body(tmp_path, "a"))
    (motion,) = one.motions
    assert 0.8 < motion.pelvis[0, 2] < 1.2
    np.testing.assert_array_equal(motion.pelvis[:, :2], np.tile([1.0, 2.0], (40, 1)).astype(np.float32))
    assert motion.contacts[5:-5].all()
    assert one.broken == []
    assert one.errors.shape == (40, 0)


def test_who_may_learn_from_what(tmp_path: Path) -> None:
    pieces = [
        on_a_body(tmp_path, "a/01_01"),
        on_a_body(tmp_path, "a/other", 131),
        on_a_body(tmp_path, "cmu_acrnn/martial/03"),
        on_a_body(tmp_path, "a/M139_04"),
        on_a_body(tmp_path, "a/again", 135),
    ]
    found = fitted(tmp_path, *pieces)
    assert [[motion.split for motion in one.motions] for one in found] == [
        ["train"],
        ["test"],
        ["test"],
        ["test"],
        [],
    ]
    (row,) = found[-1].broken
    assert (row.clip, row.reason, row.start, row.end) == ("a/again", "copy", 2.0, pytest.approx(2 + 40 / 30))


def test_a_broken_span_is_cut_out_and_told_in_seconds_of_the_clip(tmp_path: Path) -> None:
    piece = on_a_body(tmp_path, "a", count=90)
    arrays = load_arrays(tmp_path / "read" / piece.file)
    arrays["rotations"][45:, 20] = Rotation.from_euler("x", 2.5).as_matrix()  # a wrist turns in one frame
    save_arrays(tmp_path / "read" / piece.file, arrays)
    (one,) = fitted(tmp_path, piece)
    assert [motion.name for motion in one.motions] == ["a", f"a+{90 - len(one.motions[1].rotations)}"]
    (row,) = one.broken
    assert row.reason == "turn"
    assert row.start < 2 + 44 / 30 < row.end
    assert sum(len(motion.rotations) for motion in one.motions) + round(30 * row.seconds) == 90


def test_pieces_of_one_skeleton_share_a_calibration(tmp_path: Path) -> None:
    body = load_body("open")
    pieces, first = [], true_motion(body, ANCHORS, 40, 0)
    for number, scale in enumerate((1.0, 1.0, 1.08)):
        seen = scale * true_motion(body, ANCHORS, 40, number).seen
        save_arrays(tmp_path / f"read/{number}.npz", {"seen": seen})
        joints = tuple(name for anchor in ANCHORS for name in anchor.sources)
        pieces.append(Piece(str(number), "a", SKELETON, 1, "", "a", 120.0, 0.0, f"{number}.npz", 40, joints))
    pieces.append(on_a_body(tmp_path, "smpl"))
    small, same, tall, none = calibrate_pieces(tmp_path, pieces, body, Progress())
    assert small is same
    assert none is None
    assert small is not None
    assert tall is not None
    assert tall.betas[0] > small.betas[0]  # the first coefficient is stature
    assert small.betas[0] == pytest.approx(float(first.betas[0]), abs=0.4)


def test_the_key_knows_what_a_fit_was_made_from() -> None:
    seen = {"seen": np.zeros((3, len(ANCHORS), 3), np.float32)}
    known = Calibration(ANCHORS, np.zeros(10, np.float32), np.zeros((len(ANCHORS), 3), np.float32))
    others = [
        _fit_key({"seen": seen["seen"] + 1}, known),
        _fit_key(seen, None),
        _fit_key(seen, replace(known, betas=known.betas + 1)),
        _fit_key(seen, replace(known, offsets=known.offsets + 1)),
        _fit_key(seen, replace(known, anchors=(replace(ANCHORS[0], deviation=9.0), *ANCHORS[1:]))),
    ]
    assert len({_fit_key(seen, known), *others}) == 6
    assert _fit_key(seen, known) == _fit_key({"seen": seen["seen"].copy()}, replace(known))
