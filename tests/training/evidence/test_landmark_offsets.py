# SPDX-License-Identifier: Apache-2.0
"""Where a detector puts its landmarks: known offsets are found again, under noise and gross errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.body import load_body
from fasthmr.body.skeleton import PARENTS
from fasthmr.decoder.landmark_fit import correspondence
from fasthmr.decoder.landmark_fit.correspondence import landmark_model
from fasthmr.errors import BadInput
from fasthmr.files import save_arrays
from fasthmr.people.landmarks import LANDMARK_INDEX
from fasthmr.training.evidence.errors import usual
from fasthmr.training.evidence.landmark_offsets import measure_offsets, robust_offset
from tests.training.evidence.recorded_pairs import write_pairs
from tests.training.tiny_mocap import tiny_mocap

BODY = load_body("open")
NAMES = {index: name for name, index in LANDMARK_INDEX.items()}


def seen_at_offsets(folder: Path, offsets: dict[str, np.ndarray], noise: float) -> None:
    """Pairs of a detector that sees landmarks beside where the body has them; one in ten is far off."""
    marks = landmark_model(BODY, as_detected=False)
    mocap = tiny_mocap(BODY, folder.parent / "set")
    written = write_pairs(folder, mocap, BODY, usual(), sequences=12, frames=48)
    rng = np.random.default_rng(0)
    for number, arrays in enumerate(written):
        turns = [arrays["rotations"][:, :, 0]]
        for joint in range(1, 24):
            turns.append(turns[PARENTS[joint]] @ arrays["rotations"][:, :, joint])
        points = arrays["true_landmarks"].astype(np.float64)
        for index, joint in zip(marks.indices.tolist(), marks.joints.tolist(), strict=True):
            points[:, :, index] += turns[joint] @ offsets[NAMES[index]]
        points += noise * rng.normal(size=points.shape)
        points += (rng.random((*points.shape[:3], 1)) < 0.1) * rng.normal(0.1, 0.1, points.shape)
        focal = arrays["intrinsics"][:, None, None, [0, 1], [0, 1]]
        middle = arrays["intrinsics"][:, None, None, :2, 2]
        arrays["landmarks_image"] = points[..., :2] / points[..., 2:] * focal + middle
        arrays["visibility"] = np.ones_like(arrays["visibility"])
        save_arrays(folder / f"pairs{number:04d}.npz", arrays)


def random_offsets() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    offsets: dict[str, np.ndarray] = {}
    for name in NAMES.values():
        if not name.startswith("right"):
            offsets[name] = 0.03 * rng.normal(size=3)
            offsets[name.replace("left", "right")] = offsets[name] * (-1, 1, 1)
    offsets["nose"] = np.array([0.0, 0.02, -0.03])
    return offsets


def test_known_offsets_are_found_again(tmp_path: Path) -> None:
    offsets = random_offsets()
    seen_at_offsets(tmp_path / "pairs", offsets, noise=0.015)
    measured = measure_offsets(tmp_path / "pairs", BODY)
    assert {one.name for one in measured} == set(correspondence._AS_DETECTED)
    for one in measured:
        np.testing.assert_allclose(one.offset, offsets[one.name], atol=0.008, err_msg=one.name)
        assert one.views > 100
        assert one.after < one.before
        assert one.after < 0.03


def test_the_fit_puts_landmarks_where_the_detector_sees_them() -> None:
    plain, seen = landmark_model(BODY, as_detected=False), landmark_model(BODY)
    for row, index in enumerate(plain.indices.tolist()):
        name = NAMES[index]
        left = name.replace("right", "left")
        expected = torch.tensor(correspondence._AS_DETECTED[left]) / 1000
        if name != left:
            expected = expected * torch.tensor([-1.0, 1.0, 1.0])
        torch.testing.assert_close(seen.offsets[row] - plain.offsets[row], expected)
    # Mirror images of each other, and small: nobody's nose is a hand's breadth away.
    flip = torch.tensor([-1.0, 1.0, 1.0])
    moved = seen.offsets - plain.offsets
    torch.testing.assert_close(moved[plain.mirror] * flip, moved)
    assert moved.norm(dim=1).max() < 0.05


def test_gross_errors_hardly_count() -> None:
    rng = np.random.default_rng(2)
    looks = rng.normal(size=(400, 2, 3))
    offset = np.array([0.02, -0.03, 0.01])
    residuals = looks @ offset + 0.005 * rng.normal(size=(400, 2))
    residuals[:80] = 0.3
    np.testing.assert_allclose(robust_offset(looks, residuals), offset, atol=0.003)
    plain = np.linalg.lstsq(looks.reshape(-1, 3), residuals.reshape(-1), rcond=None)[0]
    assert np.abs(plain - offset).max() > 0.003


def test_a_landmark_that_nobody_saw_stays_where_it_is() -> None:
    np.testing.assert_array_equal(robust_offset(np.zeros((0, 2, 3)), np.zeros((0, 2))), np.zeros(3))


def test_no_pairs_are_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no recorded pairs"):
        measure_offsets(tmp_path, BODY)
