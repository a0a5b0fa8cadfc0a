# SPDX-License-Identifier: Apache-2.0
"""An encoding: what fits together is kept to the bit, what does not is refused with a reason."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fasthmr.encoder.encoding import Encoding
from fasthmr.errors import BadInput
from fasthmr.files import load_arrays, save_arrays


def example(frames: int = 4, width: int = 7) -> Encoding:
    rng = np.random.default_rng(3)
    return Encoding(
        frame_indices=np.arange(frames, dtype=np.int64) * 2 + 5,
        rotmat=rng.normal(size=(frames, 24, 3, 3)).astype(np.float32),
        betas=rng.normal(size=(frames, 10)).astype(np.float32),
        camera=rng.normal(size=(frames, 3)).astype(np.float32),
        token=rng.normal(size=(frames, width)).astype(np.float32),
        squares=rng.uniform(1, 900, (frames, 3)).astype(np.float32),
        forced=rng.integers(0, 9, frames, dtype=np.int32),
        kind="camerahmr",
    )


def test_saved_and_read_again_it_is_the_same(tmp_path: Path) -> None:
    first = example()
    first.save(tmp_path / "a.npz")
    second = Encoding.load(tmp_path / "a.npz")
    assert len(second) == 4
    assert second.kind == "camerahmr"
    for field in dataclasses.fields(Encoding):
        if field.name != "kind":
            one, other = getattr(first, field.name), getattr(second, field.name)
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotmat", np.zeros((4, 24, 3, 2), np.float32)),
        ("betas", np.zeros((3, 10), np.float32)),
        ("camera", np.zeros((4, 3), np.float64)),
        ("token", np.zeros((4, 2, 2), np.float32)),
        ("token", np.zeros(4, np.float32)),
        ("squares", np.zeros((4, 4), np.float32)),
        ("forced", np.zeros(4, np.int64)),
        ("frame_indices", np.array([1, 2, 2, 3])),
        ("kind", "hmr3"),
    ],
)
def test_what_does_not_fit_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name if name != "frame_indices" else "order of time"):
        dataclasses.replace(example(), **{name: value})


def test_no_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="needs frames"):
        example(frames=0)


@pytest.mark.parametrize("damage", ["missing", "not finite", "shape", "kind"])
def test_damaged_file_is_refused_with_its_name(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "person.npz"
    example().save(path)
    arrays = load_arrays(path)
    if damage == "missing":
        del arrays["token"]
    elif damage == "not finite":
        arrays["camera"][2, 1] = np.nan
    elif damage == "shape":
        arrays["rotmat"] = arrays["rotmat"][:3]
    else:
        arrays["kind"] = np.array("something")
    save_arrays(path, arrays)
    with pytest.raises(BadInput, match=r"person\.npz"):
        Encoding.load(path)


def test_half_a_file_and_no_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "person.npz"
    example().save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(BadInput, match="damaged"):
        Encoding.load(path)
    with pytest.raises(BadInput, match="no encoding"):
        Encoding.load(tmp_path / "other.npz")
