# SPDX-License-Identifier: Apache-2.0
"""Calibration sets: the error against loops, the file there and back, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.encoder.config import HMR2
from fasthmr.encoder.crop_geometry import HMR2_CROP, CropSquare
from fasthmr.encoder.crops import crop_people, cut
from fasthmr.errors import BadInput
from fasthmr.training.calibration import CalibrationSet, load_calibration, mean_distance_mm
from tests.encoder.small_sizes import TINY_CAMERAHMR, TINY_HMR2

Arrays = dict[str, np.ndarray]


def arrays(count: int = 5) -> Arrays:
    generator = np.random.default_rng(2)
    return {
        "crops": generator.integers(0, 256, (count, 3, *TINY_HMR2.image_size), dtype=np.uint8),
        "joints": generator.normal(0, 0.4, (count, 24, 3)).astype(np.float32),
        "box_info": generator.normal(0, 0.2, (count, 3)),
        "protection": generator.integers(0, 3, (count, TINY_HMR2.tokens), dtype=np.uint8),
    }


def test_error_is_the_mean_over_joints_and_crops_with_hips_aligned() -> None:
    generator = np.random.default_rng(0)
    found, wanted = generator.normal(0, 1, (2, 4, 24, 3))
    total = 0.0
    for one, other in zip(found, wanted, strict=True):
        middle, other_middle = (one[1] + one[2]) / 2, (other[1] + other[2]) / 2
        for joint in range(24):
            total += np.sqrt((((one[joint] - middle) - (other[joint] - other_middle)) ** 2).sum())
    error = mean_distance_mm(torch.tensor(found), torch.tensor(wanted))
    assert error == pytest.approx(1000 * total / (4 * 24), rel=1e-12)
    moved = torch.tensor(found) + torch.tensor([5.0, -3.0, 1.0])
    assert mean_distance_mm(moved, torch.tensor(found)) == pytest.approx(0, abs=1e-9)


def test_bytes_are_normalised_as_crops_are() -> None:
    image = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    square = CropSquare(200.0, 150.0, 280.0)
    bytes_of_crop = cut(image, square, 0.0).transpose(2, 0, 1)[None]
    wanted = crop_people([image], [square], HMR2_CROP)
    found = CalibrationSet(np.ascontiguousarray(bytes_of_crop)).batch(slice(0, 1), torch.device("cpu"))
    torch.testing.assert_close(found.crops, wanted, atol=1e-5, rtol=0)
    assert found.box_info is found.protection is None


def test_normalised_crops_stay_as_they_are() -> None:
    crops = np.random.default_rng(1).normal(size=(3, 3, 64, 48)).astype(np.float32)
    batch = CalibrationSet(crops).batch(slice(1, 3), torch.device("cpu"))
    assert torch.equal(batch.crops, torch.from_numpy(crops[1:]))


def test_file_gives_back_the_same_set(tmp_path: Path) -> None:
    path = tmp_path / "set.npz"
    given = CalibrationSet(**arrays(), description={"clips": ["ä.mp4"], "frames": 5})  # type: ignore[arg-type]
    given.save(path)
    found = load_calibration(path, TINY_CAMERAHMR, labelled=True)
    assert found.description == given.description
    for name, array in arrays().items():
        np.testing.assert_array_equal(getattr(found, name), array.astype(getattr(found, name).dtype))
    assert load_calibration(path, TINY_HMR2, labelled=False).joints is None
    assert load_calibration(path, TINY_HMR2, labelled=True).box_info is None  # not read by HMR2.0


def test_digest_tells_sets_apart() -> None:
    one = CalibrationSet(arrays()["crops"])
    assert one.digest == CalibrationSet(arrays()["crops"].copy()).digest
    other = arrays()["crops"]
    other[0, 0, 0, 0] ^= 1
    assert one.digest != CalibrationSet(other).digest
    assert one.digest != CalibrationSet(arrays()["crops"], joints=arrays()["joints"]).digest
    assert one.digest != one.spread(4).digest


def test_spread_takes_the_first_the_last_and_what_lies_evenly_between() -> None:
    data = CalibrationSet(np.arange(9, dtype=np.uint8)[:, None, None, None], joints=np.zeros((9, 24, 3)))
    assert data.spread(3).crops.ravel().tolist() == [0, 4, 8]
    assert len(data.spread(3).joints) == 3  # type: ignore[arg-type]
    assert data.spread(1).crops.ravel().tolist() == [0]
    assert data.spread(9) is data.spread(20) is data


Change = Callable[[Arrays], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a.pop("crops"), "no array 'crops'"),
        (lambda a: a.pop("joints"), "not labelled"),
        (lambda a: a.pop("box_info"), "no array 'box_info'"),
        (lambda a: a.update(crops=a["crops"][:0]), "N from 1 on"),
        (lambda a: a.update(crops=a["crops"][:, :, :, :32]), "64, 48"),
        (lambda a: a.update(crops=a["crops"].transpose(0, 2, 3, 1)), "64, 48"),
        (lambda a: a.update(crops=a["crops"].astype(np.int32)), "not floating-point"),
        (lambda a: a.update(crops=a["crops"].astype(np.float32)), "not normalised; give uint8"),
        (lambda a: a.update(joints=a["joints"][:3]), r"\(5, 24, 3\)"),
        (lambda a: a.update(joints=a["joints"][:, :17]), r"\(5, 24, 3\)"),
        (lambda a: a.update(joints=a["joints"] * 1000), "in metres"),
        (lambda a: a.update(joints=a["joints"] * 0), "in metres"),
        (lambda a: a["joints"].__setitem__((2, 3), np.nan), "no finite number"),
        (lambda a: a.update(box_info=a["box_info"][:, :2]), r"\(5, 3\)"),
        (lambda a: a.update(protection=a["protection"][:, :5]), "protection"),
        (lambda a: a.update(protection=a["protection"].astype(np.int64)), "protection"),
        (lambda a: a.update(protection=a["protection"] + 3), "0, 1 and 2"),
        (lambda a: a.update(description=np.array("{")), "no JSON"),
    ],
)
def test_other_files_are_refused(change: Change, message: str, tmp_path: Path) -> None:
    found = arrays()
    change(found)
    path = tmp_path / "set.npz"
    np.savez(path, **found)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=message) as caught:
        load_calibration(path, TINY_CAMERAHMR, labelled=True)
    assert "set.npz" in str(caught.value)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no calibration set at"):
        load_calibration(tmp_path / "none.npz", HMR2, labelled=False)
    (tmp_path / "bad.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(BadInput, match=r"bad\.npz"):
        load_calibration(tmp_path / "bad.npz", HMR2, labelled=False)


def test_published_size_is_what_the_documents_say() -> None:
    assert (3, *HMR2.image_size) == (3, 256, 192)
    assert HMR2.tokens == 192
    assert dataclasses.replace(HMR2, depth=26).tokens == 192
