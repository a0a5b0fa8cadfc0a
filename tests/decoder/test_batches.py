# SPDX-License-Identifier: Apache-2.0
"""Batches of windows: choosing rows and moving leave everything else as it was."""

from __future__ import annotations

from dataclasses import fields

import torch

from fasthmr.body import load_body
from fasthmr.decoder.batches import EvidenceBatch, MotionBatch
from tests.decoder.smooth_people import people, with_encoder


def same(one: EvidenceBatch | MotionBatch, other: EvidenceBatch | MotionBatch, rows: list[int]) -> bool:
    for field in fields(one):
        whole, part = getattr(one, field.name), getattr(other, field.name)
        if (whole is None) != (part is None):
            return False
        if whole is not None and not (part.dtype == whole.dtype and torch.equal(whole[rows], part)):
            return False
    return True


def test_select_takes_rows_of_every_array() -> None:
    evidence, motion = people(load_body("open"), 4, 6)
    for batch in (evidence, with_encoder(evidence, motion), motion):
        assert same(batch, batch.select(slice(1, 3)), [1, 2])
        assert same(batch, batch.select(torch.tensor([3, 0])), [3, 0])
        assert same(batch, batch.select(torch.tensor([True, False, False, True])), [0, 3])
        assert not same(batch, batch.select(slice(0, 2)), [1, 2])


def test_to_moves_every_array() -> None:
    evidence, motion = people(load_body("open"), 2, 6)
    for batch in (evidence, with_encoder(evidence, motion), motion):
        assert same(batch, batch.to("cpu"), [0, 1])
        moved = [getattr(batch.to("meta"), field.name) for field in fields(batch)]
        assert {one.device.type for one in moved if one is not None} == {"meta"}
