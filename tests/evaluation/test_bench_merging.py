# SPDX-License-Identifier: Apache-2.0
"""The benchmark of merging: fair by construction, complete in what it says. No speed is asserted."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from fasthmr.encoder.checkpoint import save_checkpoint
from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.random_weights import random_state
from fasthmr.encoder.token_merging import PERSON, TokenMerging
from fasthmr.errors import BadCall
from fasthmr.evaluation.bench_merging import (
    BASELINE,
    TWO,
    VARIANTS,
    as_text,
    bench_merging,
    person_levels,
    variant_models,
)
from fasthmr.evaluation.flops import encoder_multiply_adds

TINY = EncoderConfig(
    dim=24, depth=6, heads=2, head_dim=16, head_depth=2, head_heads=2, head_head_dim=8, head_mlp=16
)
TINY_OPEN = dataclasses.replace(TINY, kind="open")
SCHEDULE = (40, 40, 16)


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return bench_merging(TINY, batches=(2, 1), repeats=3, variants=tuple(VARIANTS), schedule=SCHEDULE)


def test_every_variant_is_measured_for_every_batch(figures: dict[str, Any]) -> None:
    assert [row["batch"] for row in figures["batches"]] == [1, 2]
    for row in figures["batches"]:
        assert list(row["variants"]) == list(VARIANTS)
        for name, found in row["variants"].items():
            gain, ms = found["speed_up"], found["ms"]
            assert 0 < ms["least"] <= ms["lower_quartile"] <= ms["median"] <= ms["upper_quartile"], name
            assert gain["lower_quartile"] <= gain["median"] <= gain["upper_quartile"]
            assert found["ms_a_crop"] == pytest.approx(ms["median"] / row["batch"], abs=1e-3)
            assert found["share_of_flop_ratio"] == pytest.approx(
                gain["median"] / found["flop_ratio"], abs=2e-3
            )
        assert row["variants"][BASELINE]["speed_up"]["median"] == 1.0


def test_ratio_of_multiply_adds_is_that_of_the_counts(figures: dict[str, Any]) -> None:
    ratio = (
        encoder_multiply_adds(TINY).total
        / encoder_multiply_adds(TINY, SCHEDULE, figures["merging"]["layers"]).total
    )
    for row in figures["batches"]:
        assert row["variants"]["merged"]["flop_ratio"] == pytest.approx(ratio, abs=6e-4)
    counts = figures["multiply_adds"]
    assert counts["drop"]["total"] == counts["merged"]["total"] - counts["merged"]["matching"]
    assert counts["tokens only"]["total"] > counts["merged"]["total"] < counts["layers only"]["total"]


def test_the_result_says_under_which_conditions(figures: dict[str, Any]) -> None:
    assert figures["merging"]["tokens_after_each_layer"] == [152, 112, 96]
    assert figures["merging"]["layers"] == 4  # as 26 of 32, rounded down
    assert figures["model"]["weights"] == "random"
    assert figures["model"]["parameters"] == sum(
        one.numel() for one in HMRModel.from_state(TINY, random_state(TINY)).parameters()
    )
    assert (
        figures["settings"] | {"precision": "float32", "repeats": 3, "cuda_graphs": False}
        == figures["settings"]
    )
    machine = figures["environment"]
    assert machine["threads"] == torch.get_num_threads()
    assert {"processor", "torch", "merge_operator", "device"} <= set(machine)


def test_the_table_has_a_line_for_every_figure(figures: dict[str, Any]) -> None:
    text = as_text(figures)
    assert text.count("batch of") == 2
    for name in VARIANTS:
        assert text.count(f"\n  {name} ") == 2
    assert "192 -> 152 -> 112 -> 96 tokens" in text


def models(names: tuple[str, ...] = tuple(VARIANTS)) -> dict[str, HMRModel]:
    plain = HMRModel.from_state(TINY, random_state(TINY))
    return variant_models(plain, 4, SCHEDULE, names)


def addresses(model: HMRModel) -> set[int]:
    return {one.data_ptr() for one in model.parameters()}


def test_all_variants_run_on_the_very_same_tensors() -> None:
    found = models()
    plain = addresses(found[BASELINE])
    for name, model in found.items():
        assert addresses(model) <= plain, name
        assert model.smpl_head is found[BASELINE].smpl_head
        assert model.config.depth == len(model.backbone.blocks) == (4 if VARIANTS[name].fewer_layers else 6)
    assert addresses(found["tokens only"]) == plain


def test_each_variant_is_what_its_name_says() -> None:
    found = models()
    assert found[BASELINE].reduction is None
    assert found["layers only"].reduction is None
    assert found["merged"].reduction == found["tokens only"].reduction == TokenMerging(SCHEDULE)
    assert found["plain mean"].reduction == TokenMerging(SCHEDULE, weighted=False)
    assert found["log-size bias"].reduction == TokenMerging(SCHEDULE, log_size_bias=True)
    assert {type(found[name].reduction).__name__ for name in ("drop", "pool")} == {
        "DropBackground",
        "PoolBackground",
    }
    crops = torch.randn(1, 3, 256, 192, generator=torch.Generator().manual_seed(0))
    levels = person_levels(TINY.grid)[None]
    with torch.no_grad():
        tokens = {
            name: model.backbone(crops, model.reduction, levels)[0].shape[1] for name, model in found.items()
        }
    assert tokens.pop(BASELINE) == tokens.pop("layers only") == 192
    assert set(tokens.values()) == {96}


def test_person_is_an_ellipse_of_the_wanted_share() -> None:
    levels = person_levels((16, 12), 0.4).reshape(16, 12)
    person = levels == PERSON
    assert int(person.sum()) == round(0.4 * 192)
    assert bool(person[8, 6])
    assert not person[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert person.any(dim=1).sum() > person.any(dim=0).sum()


def test_weights_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    config = dataclasses.replace(TINY_OPEN, depth=5)
    save_checkpoint(path, random_state(config), config)
    figures = bench_merging(TINY_OPEN, path, batches=(1,), repeats=1, layers=4)
    assert figures["model"] | {"weights": path.name, "layers": 5, "kind": "open"} == figures["model"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"variants": ("merged", "squeezed")}, "squeezed"),
        ({"batches": ()}, "1 or more"),
        ({"batches": (0,)}, "1 or more"),
        ({"repeats": 0}, "1 or more"),
        ({"layers": 3}, "only 3 are left"),
        ({"layers": 7}, "6 layers cannot become 7"),
        ({"target_tokens": 193}, "193"),
    ],
)
def test_what_cannot_be_measured(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(BadCall, match=said):
        bench_merging(TINY, **asked)


def test_two_variants_without_being_asked_for_more() -> None:
    row = bench_merging(TINY, batches=(1,), repeats=1)["batches"][0]
    assert tuple(row["variants"]) == TWO
    assert row["forced_merges_a_crop"]["merged"] == 0  # the usual schedule takes nobody's patches
