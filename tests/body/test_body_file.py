# SPDX-License-Identifier: Apache-2.0
"""The body file: what is written comes back; what is damaged is refused with a message."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fasthmr.body import load_body
from fasthmr.body.body_file import body_from_npz, read_npz, write_body_file
from fasthmr.errors import BadInput


class Marker:
    """A pickle of this creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_round_trip_of_all_keys(make_arrays, tmp_path):
    uv = np.random.default_rng(0).random((7, 2))
    corners = np.random.default_rng(0).integers(7, size=(60, 3))
    arrays = dataclasses.replace(make_arrays(), vt=uv, ft=corners, landmark_vertices=np.full(33, -1))
    path = tmp_path / "body.npz"
    write_body_file(path, arrays)
    again = body_from_npz(path, read_npz(path))
    for field in dataclasses.fields(arrays):
        np.testing.assert_array_equal(getattr(again, field.name), getattr(arrays, field.name))
    assert [file.name for file in tmp_path.iterdir()] == ["body.npz"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v_template": np.zeros((0, 3))}, "no vertices"),
        ({"v_template": np.zeros((40, 2))}, "'v_template' has the shape"),
        ({"v_template": np.full((40, 3), np.nan)}, "not finite"),
        ({"shapedirs": np.zeros((40, 3, 9))}, "'shapedirs' has the shape"),
        ({"weights": np.zeros((40, 24))}, "'weights' do not sum to 1"),
        ({"J_regressor": np.zeros((24, 40))}, "'J_regressor' do not sum to 1"),
        ({"f": np.full((3, 3), 40)}, "'f' points outside"),
        ({"f": np.full((3, 3), -1)}, "'f' points outside"),
        ({"f": np.full((3, 3), "x")}, "not an array of numbers"),
        ({"vt": np.zeros((4, 2))}, "only go together"),
    ],
)
def test_arrays_that_do_not_fit(make_arrays, change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(make_arrays(), **change)


@pytest.mark.parametrize("kept", [0, 1, 100, 3000, -1])
def test_truncated_file(make_arrays, tmp_path, kept):
    path = tmp_path / "body.npz"
    write_body_file(path, make_arrays())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadInput, match=r"body\.npz.*damaged"):
        load_body(path)


def test_flipped_bytes_never_pass_unnoticed(make_arrays, tmp_path):
    path = tmp_path / "body.npz"
    arrays = make_arrays()
    write_body_file(path, arrays)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in rng.integers(len(whole), size=100):
        damaged = bytearray(whole)
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            body = load_body(path)
        except BadInput:
            continue
        # The rest of the file holds dates and the like, which do not matter.
        np.testing.assert_array_equal(body.v_template, arrays.v_template)
        np.testing.assert_array_equal(body.weights, arrays.weights)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x93NUMPY", b"PK\x03\x04 and then nothing"])
def test_other_files(tmp_path, content):
    path = tmp_path / "body.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"damaged or not an \.npz file"):
        load_body(path)


def test_single_array(tmp_path):
    path = tmp_path / "body.npz"
    with path.open("wb") as stream:
        np.save(stream, np.zeros(3))
    with pytest.raises(BadInput, match="one plain array"):
        load_body(path)


def test_missing_key(make_arrays, tmp_path):
    path = tmp_path / "body.npz"
    write_body_file(path, make_arrays())
    arrays: dict[str, Any] = read_npz(path)
    del arrays["weights"]
    np.savez(path, **arrays)
    with pytest.raises(BadInput, match="weights missing"):
        load_body(path)


def test_other_skeleton(make_arrays, tmp_path):
    path = tmp_path / "body.npz"
    write_body_file(path, make_arrays())
    arrays: dict[str, Any] = read_npz(path)
    arrays["kintree_table"][0, 5] = 0
    np.savez(path, **arrays)
    with pytest.raises(BadInput, match="24 joints"):
        load_body(path)


def test_pickled_objects_are_never_loaded(make_arrays, tmp_path):
    path, marker = tmp_path / "body.npz", tmp_path / "marker"
    write_body_file(path, make_arrays())
    arrays: dict[str, Any] = read_npz(path)
    arrays["weights"] = np.array([Marker(marker)], dtype=object)
    np.savez(path, **arrays)
    with pytest.raises(BadInput, match="pickled objects"):
        load_body(path)
    assert not marker.exists()
    np.load(path, allow_pickle=True)["weights"]
    assert marker.exists()  # the trap itself works


def test_failed_write_keeps_the_old_file(make_arrays, tmp_path, monkeypatch):
    path = tmp_path / "body.npz"
    write_body_file(path, make_arrays(seed=1))
    before = path.read_bytes()

    def disk_full(stream, **_):
        stream.write(b"half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", disk_full)
    with pytest.raises(OSError, match="No space left"):
        write_body_file(path, make_arrays(seed=2))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["body.npz"]
