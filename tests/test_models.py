# SPDX-License-Identifier: Apache-2.0
"""What the worker keeps loaded: one encoder at a time, as long as nothing about it changes."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import os
import weakref
from pathlib import Path

import pytest

from fasthmr.encoder.checkpoint import save_checkpoint
from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.random_weights import random_state
from fasthmr.errors import BadCall, BadInput, MissingModel
from fasthmr.models import Models
from fasthmr.request import EncoderChoice

TINY = EncoderConfig(
    dim=16, depth=1, heads=2, head_dim=16, head_depth=1, head_heads=1, head_head_dim=8, head_mlp=16
)


def write(path: Path) -> Path:
    save_checkpoint(path, random_state(TINY), TINY)
    return path


@pytest.fixture
def choice(tmp_path: Path) -> EncoderChoice:
    return EncoderChoice("hmr2", write(tmp_path / "tiny.safetensors"), "fp32", device="cpu")


def test_an_encoder_stays_loaded_until_another_is_asked_for(choice: EncoderChoice) -> None:
    models = Models()
    first = models.encoder(choice)
    assert models.encoder(dataclasses.replace(choice)) is first
    gone = weakref.ref(first)
    del first
    second = models.encoder(dataclasses.replace(choice, tokens=96))
    gc.collect()
    assert gone() is None
    gone = weakref.ref(second)
    del second
    models.close()
    gc.collect()
    assert gone() is None


def test_a_checkpoint_that_changed_is_loaded_again(choice: EncoderChoice) -> None:
    models = Models()
    first, digest = models.encoder(choice), models.checkpoint_digest(choice)
    os.utime(choice.checkpoint, ns=(1, 1))
    assert models.encoder(choice) is not first
    assert models.checkpoint_digest(choice) == digest


def test_tokens_decide_whether_the_encoder_merges(choice: EncoderChoice) -> None:
    models = Models()
    assert models.encoder(choice).model.reduction is None
    reduction = models.encoder(dataclasses.replace(choice, tokens=96)).model.reduction
    assert reduction is not None
    assert [reduction.count(layer) for layer in range(4)] == [52, 26, 13, 5]


def test_the_digest_is_that_of_the_file_and_read_once(
    choice: EncoderChoice, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = Models()
    assert models.checkpoint_digest(choice) == hashlib.sha256(choice.checkpoint.read_bytes()).hexdigest()
    monkeypatch.setattr("fasthmr.models.sha256_of_file", lambda path: pytest.fail("read again"))
    models.checkpoint_digest(dataclasses.replace(choice, tokens=96))


def test_what_cannot_be_loaded_is_said_and_leaves_nothing_loaded(
    choice: EncoderChoice, tmp_path: Path
) -> None:
    models = Models()
    gone = weakref.ref(models.encoder(choice))
    text = tmp_path / "text.ckpt"
    text.write_text("This is no checkpoint.")
    for ask in (models.checkpoint_digest, models.encoder):
        with pytest.raises(BadInput, match=r"text\.ckpt"):
            ask(dataclasses.replace(choice, checkpoint=text))
        with pytest.raises(MissingModel, match=r"nowhere\.ckpt"):
            ask(dataclasses.replace(choice, checkpoint=tmp_path / "nowhere.ckpt"))
        with pytest.raises(MissingModel):
            ask(dataclasses.replace(choice, kind="camerahmr"))
    with pytest.raises(BadCall, match="quantum"):
        models.encoder(dataclasses.replace(choice, device="quantum"))
    gc.collect()
    assert gone() is None
