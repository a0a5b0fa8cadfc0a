# SPDX-License-Identifier: Apache-2.0
"""Batches come from another process in order, and so do its errors."""

from __future__ import annotations

import itertools

import pytest
import torch

from fasthmr.errors import BadInput
from fasthmr.training.batch_stream import BatchStream
from tests.training import counted_batches


def test_batches_come_in_order_and_without_end() -> None:
    stream = BatchStream(counted_batches.counting, 5, 3)
    try:
        stream.wait()
        made = list(itertools.islice(stream, 20))
    finally:
        stream.close()
    assert [number for number, _ in made] == list(range(5, 25))
    assert all(torch.equal(values, torch.full((3,), float(number))) for number, values in made)
    assert not stream._process.is_alive()


def test_what_is_said_to_people_there_is_said_here() -> None:
    stream = BatchStream(counted_batches.refusing, "the set")
    try:
        with pytest.raises(BadInput, match=r"the set is damaged\. Make it again"):
            next(stream)
    finally:
        stream.close()


def test_failure_of_the_other_process_ends_the_wait() -> None:
    stream = BatchStream(counted_batches.failing)
    try:
        with pytest.raises(RuntimeError, match="Making training batches failed"):
            next(stream)
    finally:
        stream.close()
