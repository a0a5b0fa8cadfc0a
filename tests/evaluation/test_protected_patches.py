# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/token_merging.md, from numbers that can be checked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from fasthmr.encoder.config import SMALL_OPEN
from fasthmr.encoder.merge_picture import random_model
from fasthmr.encoder.protection import ellipse
from fasthmr.evaluation import protected_patches
from fasthmr.evaluation.protected_patches import forced_table, in_markdown, protected_table, stand_in_table
from tests.real_clip import demo_clip


def test_protected_patches_are_counted() -> None:
    shares = np.zeros((2, 16, 12), np.float32)
    shares[0, 5:10, 3:6] = 1.0  # 15 patches, and 5 at the edge
    shares[0, 5:10, 6] = 0.2
    shares[1, :10] = 1.0  # 120 patches: too many
    rows = {(row[0], row[1]): row[2:] for row in protected_table(shares)}
    assert rows["0.1", "0"] == ["70.0", "115", "120", "50.0", "0.00"]
    # A sixteenth of the first person's area is in the five patches.
    assert rows["0.25", "0"] == ["67.5", "115", "120", "50.0", "3.12"]
    assert rows["0.25", "1"][:3] == ["83.5", "127", "132"]  # 5 x 7 and 11 x 12


def test_stand_ins_are_measured_by_what_they_find() -> None:
    middle = ellipse().astype(np.float32)
    still = np.stack([middle] * 6)
    moving = np.stack([np.roll(middle, shift, axis=0) for shift in range(6)])
    rows = {row[0]: row[1:] for row in stand_in_table([still])}
    assert rows["ellipse"] == [f"{ellipse().sum()}", "100"]
    assert rows["mask 3 frames ago"][1] == "100"
    assert "mask 15 frames ago" not in rows
    rows = {row[0]: row[1:] for row in stand_in_table([moving])}
    assert int(rows["mask 5 frames ago"][1]) < int(rows["mask 1 frames ago"][1]) < 100


def test_forced_merges_are_counted() -> None:
    crops = torch.randn(2, 3, 256, 192, generator=torch.Generator().manual_seed(0))
    levels = torch.zeros(2, 192, dtype=torch.uint8)
    levels[1, :150] = 1  # 42 of background, one row after the other
    (row,) = forced_table([(crops, levels)], random_model(2, SMALL_OPEN), {"half": (96,)})
    assert row[:3] == ["half", "96", "50.0"]
    assert int(row[4]) == 96 - 21  # half of the background is at even positions
    assert float(row[3]) == (96 - 21) / 2


def test_a_table_is_markdown() -> None:
    assert in_markdown(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | ---: |\n| 1 | 2 |\n"


def test_the_command_prints_all_tables(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    footage = protected_patches.open_footage
    monkeypatch.setattr(protected_patches, "open_footage", lambda clip: footage(clip, 2.0, 2.4))
    assert protected_patches.main([str(demo_clip()), "--every", "6"]) == 0
    text = capsys.readouterr().out
    assert text.count("\n| ---") == 3
    assert text.startswith("24 frames of 2 people\n")
    assert protected_patches.main([str(Path("nothing.mp4"))]) == 3
