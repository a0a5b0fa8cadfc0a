# SPDX-License-Identifier: Apache-2.0
"""The file of measurements: what it gives back, and what it survives."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from fasthmr.errors import BadInput
from fasthmr.training.evaluation_log import EvaluationLog


def test_measurements_come_back_under_their_own_identity(tmp_path: Path) -> None:
    path = tmp_path / "deep/plan.tests.jsonl"
    log = EvaluationLog(path, "one")
    assert log.get(("0", "1")) is None
    log.add(("0", "1"), 0.1 + 0.2, 3.0)
    log.add(("formula 0-1",), math.nan, 3.0)
    EvaluationLog(path, "two").add(("0", "1"), 7.0, 1.0)
    again = EvaluationLog(path, "one")
    assert again.get(("0", "1")) == 0.1 + 0.2  # to the last bit
    assert math.isnan(again.get(("formula 0-1",)) or 0.0)
    assert again.get(("1",)) is None
    assert EvaluationLog(path, "two").get(("0", "1")) == 7.0
    assert EvaluationLog(path, "three").get(("0", "1")) is None
    assert len(path.read_text().splitlines()) == 3


@pytest.mark.parametrize("rest", [b'{"of": "one", "lay', b"\xff\xfe", b"[]", b'{"of": 1}', b"\n\n"])
def test_lines_that_cannot_be_read_cost_no_others(rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    EvaluationLog(path, "one").add(("0",), 1.0, 1.0)
    path.write_bytes(path.read_bytes() + rest)
    log = EvaluationLog(path, "one")
    assert log.get(("0",)) == 1.0
    log.add(("1",), 2.0, 1.0)
    assert EvaluationLog(path, "one").get(("1",)) == 2.0


def test_folder_in_its_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="keeps the measurements"):
        EvaluationLog(tmp_path, "one")
