# SPDX-License-Identifier: Apache-2.0
"""Runs that start behind the first layers give what whole runs give, to the last bit."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from fasthmr.encoder.layer_merging import TrialLayers
from fasthmr.encoder.layer_plan import Groups
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.token_merging import TokenMerging
from fasthmr.training.joint_error import same_layers
from fasthmr.training.repeated_runs import RepeatedRuns
from tests.training.tiny_network import EIGHT, random_crops, state_with_idle_layers

LAYERS = [(one,) for one in range(8)]
NETWORKS: list[Groups] = [
    (*LAYERS[:6], (6, 7)),
    (*LAYERS[:4], (4, 5, 6, 7)),
    (*LAYERS[:3], *LAYERS[4:]),
    ((0, 1), *LAYERS[2:]),
    tuple(LAYERS),
]
ONE_LAYER = 6 * EIGHT.tokens * EIGHT.dim * 4


def whole(model: HMRModel) -> tuple[Tensor, Tensor]:
    data = random_crops()
    outputs = [
        model(batch.crops, protection=batch.protection)
        for batch in (data.batch(slice(first, first + 4), torch.device("cpu")) for first in (0, 4))
    ]
    return torch.cat([one.rotmat for one in outputs]), torch.cat([one.betas for one in outputs])


@pytest.mark.parametrize(
    "reduction",
    [None, TokenMerging((4, 2)), TokenMerging((0, 3), log_size_bias=True)],
    ids=["plain", "merging", "size-bias"],
)
@pytest.mark.parametrize("memory", [0, ONE_LAYER, 3 * ONE_LAYER, 2 << 30])
@pytest.mark.parametrize("simplified", [False, True])
def test_a_run_from_a_later_layer_is_the_whole_run(
    reduction: TokenMerging | None, memory: int, simplified: bool
) -> None:
    state = state_with_idle_layers()
    model = HMRModel.from_state(EIGHT, state)
    if simplified:
        model.simplify_()
    model.reduction = reduction
    trials = TrialLayers(model, state)
    runs = RepeatedRuns(model, random_crops(), 4, memory)
    assert all(torch.equal(*pair) for pair in zip(runs.run(), whole(model), strict=True))
    for groups in NETWORKS:
        with trials.merged(groups, "formula"):
            found = runs.run(same_layers(groups, "formula"))
            assert all(torch.equal(*pair) for pair in zip(found, whole(model), strict=True))


def test_what_enters_a_layer_is_kept_within_the_memory() -> None:
    model = HMRModel.from_state(EIGHT, state_with_idle_layers())

    def starts(memory: int, reduction: TokenMerging | None = None) -> tuple[int, ...]:
        model.reduction = reduction
        return RepeatedRuns(model, random_crops(), 4, memory).starts

    assert starts(2 << 30) == tuple(range(8))
    assert starts(0) == (0,)
    assert len(starts(3 * ONE_LAYER)) == 4
    assert starts(2 << 30, TokenMerging((4, 2))) == (0, 2, 3, 4, 5, 6, 7)  # not before the last merge
    assert starts(2 << 30, TokenMerging((4,), log_size_bias=True)) == (0,)  # sizes matter to the end


def test_less_is_computed_the_more_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    model = HMRModel.from_state(EIGHT, state_with_idle_layers())
    runs = RepeatedRuns(model, random_crops(), 8)
    runs.run()
    attended: list[int] = []
    for layer, block in enumerate(model.backbone.blocks):
        attend = block.attend

        def counting(*inputs: object, layer: int = layer, attend: object = attend) -> object:
            attended.append(layer)
            return attend(*inputs)  # type: ignore[operator]

        monkeypatch.setattr(block, "attend", counting)
    runs.run(same=5)
    assert attended == [5, 6, 7]


def test_same_layers_are_counted_from_the_first_on() -> None:
    assert same_layers(tuple(LAYERS), "mean") == 8
    assert same_layers((*LAYERS[:6], (6, 7)), "formula") == 6
    assert same_layers((*LAYERS[:6], (6, 7)), "keep_first") == 7
    assert same_layers((*LAYERS[:3], *LAYERS[4:]), "mean") == 3
    assert same_layers(((0, 1),), "keep_last") == 0


def test_progress_counts_crops_and_may_stop() -> None:
    runs = RepeatedRuns(HMRModel.from_state(EIGHT, state_with_idle_layers()), random_crops(), 4)
    told: list[int] = []
    runs.run(done=told.append)
    assert told == [0, 4, 6]

    def stop(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runs.run(done=stop)
    assert all(len(one) == 6 for one in runs.run())


def test_half_precision_gives_single_precision_results() -> None:
    model = HMRModel.from_state(EIGHT, state_with_idle_layers()).simplify_().cast_(torch.bfloat16)
    runs = RepeatedRuns(model, dataclasses.replace(random_crops(), protection=None), 4)
    rotations, shapes = runs.run()
    assert rotations.dtype == shapes.dtype == torch.float32
    assert rotations.shape == (6, 24, 3, 3)
