# SPDX-License-Identifier: Apache-2.0
"""The set on disk: there and back, while it grows, and damaged."""

from __future__ import annotations

import os
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.errors import BadInput
from fasthmr.training.synthesis.people_set import (
    PeopleBatch,
    PeopleSet,
    is_held_out,
    shard_folder,
    write_shard,
)
from tests.training.synthesis.written_people import SAMPLES, random_shard, write_people


def test_there_and_back_in_any_order(tmp_path: Path) -> None:
    people = PeopleSet.open(write_people(tmp_path / "set", 0, 1, 3))
    assert len(people) == 3 * SAMPLES
    rows = torch.tensor([17, 0, 6, 5, 17, 12])
    batch = people.take(rows)
    assert len(batch) == 6
    shards = [random_shard(number) for number in (0, 1, 3)]
    for field in fields(PeopleBatch):
        value = getattr(batch, field.name)
        for place, row in enumerate(rows.tolist()):
            expected = shards[row // SAMPLES][field.name][row % SAMPLES]
            np.testing.assert_array_equal(value[place].numpy(), expected)
        assert value.numpy().dtype == shards[0][field.name].dtype
    assert batch.images.dtype == batch.masks.dtype == torch.uint8
    assert batch.visible.dtype == torch.bool


def test_rows_as_lists_arrays_and_none_at_all(tmp_path: Path) -> None:
    people = PeopleSet.open(write_people(tmp_path / "set", 0))
    assert torch.equal(people.take([2, 1]).betas, people.take(np.array([2, 1])).betas)
    assert torch.equal(people.take(range(2)).betas, people.take([0, 1]).betas)
    assert people.take([]).images.shape == (0, 256, 192, 3)
    for rows in ([SAMPLES], [-1], [0, 99]):
        with pytest.raises(IndexError, match=f"of a set of {SAMPLES}"):
            people.take(rows)


def test_what_is_taken_can_be_changed_and_the_set_stays(tmp_path: Path) -> None:
    people = PeopleSet.open(write_people(tmp_path / "set", 0))
    people.take([0]).images[:] = 7
    np.testing.assert_array_equal(people.take([0]).images[0], random_shard(0)["images"][0])


def test_every_eighth_shard_is_held_out(tmp_path: Path) -> None:
    write_people(tmp_path / "set", *range(9))
    training, held_out = PeopleSet.open(tmp_path / "set"), PeopleSet.open(tmp_path / "set", held_out=True)
    assert [shard.name for shard in training.shards] == [f"shard{n:04d}" for n in (0, 1, 2, 3, 4, 5, 6, 8)]
    assert [shard.name for shard in held_out.shards] == ["shard0007"]
    assert [n for n in range(24) if is_held_out(n)] == [7, 15, 23]
    np.testing.assert_array_equal(held_out.take([1]).betas[0], random_shard(7)["betas"][1])


def test_a_set_grows_while_it_is_read(tmp_path: Path) -> None:
    write_people(tmp_path / "set", 0)
    (tmp_path / "set" / ".shard0001.abc.part").mkdir()  # somebody is writing it
    (tmp_path / "set" / "shard_notes").mkdir()
    early = PeopleSet.open(tmp_path / "set")
    write_people(tmp_path / "set", 1)
    assert len(early) == SAMPLES
    assert len(PeopleSet.open(tmp_path / "set")) == 2 * SAMPLES


def test_a_folder_without_shards_is_told(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match=r"no shards.*fasthmr train synthesis"):
            PeopleSet.open(folder)
    write_people(tmp_path / "set", 0)
    with pytest.raises(BadInput, match=r"no shard that is held out.*shard0007"):
        PeopleSet.open(tmp_path / "set", held_out=True)


def damage_missing(folder: Path) -> None:
    (folder / "masks.npy").unlink()


def damage_short(folder: Path) -> None:
    path = folder / "masks.npy"
    path.write_bytes(path.read_bytes()[:5000])


def damage_text(folder: Path) -> None:
    (folder / "masks.npy").write_text("no array")


def damage_kind(folder: Path) -> None:
    np.save(folder / "masks.npy", np.zeros((SAMPLES, 256, 192), np.float64))


def damage_count(folder: Path) -> None:
    np.save(folder / "masks.npy", np.zeros((SAMPLES - 1, 256, 192), np.uint8))


def damage_scalar(folder: Path) -> None:
    np.save(folder / "masks.npy", np.uint8(3))


def damage_pickle(folder: Path) -> None:
    np.save(folder / "masks.npy", np.array([{"a": 1}]), allow_pickle=True)


@pytest.mark.parametrize(
    "damage",
    [damage_missing, damage_short, damage_text, damage_kind, damage_count, damage_scalar, damage_pickle],
)
def test_damage_is_told_with_the_file(damage, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    write_people(tmp_path / "set", 0, 1)
    damage(tmp_path / "set" / "shard0001")
    with pytest.raises(BadInput, match=r"shard0001.masks\.npy.*Remove .*shard0001 and make it again"):
        PeopleSet.open(tmp_path / "set")


def test_an_empty_shard_is_told(tmp_path: Path) -> None:
    write_shard(tmp_path / "set", 0, {name: array[:0] for name, array in random_shard(0).items()})
    with pytest.raises(BadInput, match="does not fit"):
        PeopleSet.open(tmp_path / "set")


def test_no_shard_is_overwritten_and_none_is_half_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_people(tmp_path / "set", 0)
    with pytest.raises(BadInput, match="is there already"):
        write_shard(folder, 0, random_shard(5))
    real, saved = np.save, []

    def full_after_three(path: Path, *rest: object, **options: object) -> None:
        saved.append(path)
        if len(saved) > 3:
            raise OSError(28, "No space left on device")
        real(path, *rest, **options)  # type: ignore[arg-type] # pyright: ignore

    monkeypatch.setattr(np, "save", full_after_three)
    with pytest.raises(BadInput, match=r"shard0001 cannot be written: No space left"):
        write_shard(folder, 1, random_shard(1))
    assert [path.name for path in folder.iterdir()] == ["shard0000"]


def test_arrays_must_fit(tmp_path: Path) -> None:
    arrays = random_shard(0)
    for name, wrong in (
        ("images", arrays["images"].astype(np.float32)),
        ("betas", arrays["betas"][:3]),
        ("visible", arrays["visible"][:, :32]),
    ):
        # the count is that of the images
        with pytest.raises(ValueError, match=name):
            write_shard(tmp_path / "set", 0, arrays | {name: wrong})
    assert not (tmp_path / "set").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_others_may_read_it(tmp_path: Path) -> None:
    folder = write_people(tmp_path / "set", 0)
    assert shard_folder(folder, 0).stat().st_mode & 0o777 == 0o755


@pytest.mark.skipif(
    sys.platform == "win32" or (hasattr(os, "geteuid") and os.geteuid() == 0),
    reason="root may write anywhere",
)
def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(BadInput, match="cannot be written"):
        write_shard(tmp_path / "closed" / "set", 0, random_shard(0))
