# SPDX-License-Identifier: Apache-2.0
"""Sizes of encoders: what they imply, what is refused, and the way to a file and back."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest

from fasthmr.encoder.config import CAMERAHMR, HMR2, SMALL_OPEN, EncoderConfig


@pytest.mark.parametrize("config", [HMR2, CAMERAHMR, SMALL_OPEN])
def test_crop_gives_sixteen_by_twelve_patches(config: EncoderConfig) -> None:
    assert config.grid == (16, 12)
    assert config.tokens == 192


def test_only_camerahmr_reads_the_box() -> None:
    assert CAMERAHMR.reads_box
    assert not HMR2.reads_box


@pytest.mark.parametrize("config", [HMR2, CAMERAHMR, SMALL_OPEN])
def test_sizes_go_to_json_and_back(config: EncoderConfig) -> None:
    text = json.dumps(config.to_json())
    assert EncoderConfig.from_json(text) == config
    assert EncoderConfig.from_json(json.loads(text)) == config


@pytest.mark.parametrize(
    "change",
    [
        {"dim": 0},
        {"dim": 1281},
        {"depth": 2.0},
        {"depth": True},
        {"heads": "16"},
        {"image_size": [256]},
        {"image_size": 256},
        {"image_size": [8, 192]},
        {"kind": "hmr3"},
        {"token_input": 157},
        {"patch_padding": -1},
        {"surplus": 1},
    ],
)
def test_impossible_sizes_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(change))):
        EncoderConfig.from_json({**HMR2.to_json(), **change})


def test_missing_size_is_refused_by_its_name() -> None:
    content = HMR2.to_json()
    del content["depth"]
    with pytest.raises(ValueError, match="depth"):
        EncoderConfig.from_json(content)
    with pytest.raises(ValueError, match="list"):
        EncoderConfig.from_json("[1]")


def test_sizes_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        HMR2.depth = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_sizes_are_had_without_pytorch() -> None:
    program = "import sys, fasthmr.encoder as e; e.HMR2; e.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
