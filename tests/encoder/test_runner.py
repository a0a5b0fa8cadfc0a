# SPDX-License-Identifier: Apache-2.0
"""The network at work: any number of crops, in batches of fixed sizes, without a change to its results."""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import pytest
import torch
from torch import Tensor

from fasthmr.encoder.config import EncoderConfig
from fasthmr.encoder.model import HMRModel, HMROutput
from fasthmr.encoder.random_weights import random_state
from fasthmr.encoder.runner import EncoderRunner
from fasthmr.encoder.token_merging import TokenMerging, schedule_to
from fasthmr.errors import BadCall, BadInput, Cancelled
from tests.encoder.small_sizes import TINY_CAMERAHMR, TINY_HMR2
from tests.encoder.test_static_graph import FakeRecorder

WHOLE = dataclasses.replace(TINY_HMR2, image_size=(256, 192))
PARTS = ("rotmat", "betas", "camera", "token")


def network(config: EncoderConfig = TINY_HMR2, merge_to: int | None = None) -> HMRModel:
    model = HMRModel.from_state(config, random_state(config)).simplify_()
    if merge_to is not None:
        model.reduction = TokenMerging(schedule_to(config.tokens, merge_to, 2, 2))
    return model


def crops_of(count: int, config: EncoderConfig = TINY_HMR2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((count, 3, *config.image_size), generator=generator)


def levels_of(count: int, config: EncoderConfig = TINY_HMR2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 2, (count, config.tokens), generator=generator, dtype=torch.uint8)


def assert_same(one: HMROutput, other: HMROutput, exact: bool = True) -> None:
    for name in PARTS:
        a, b = getattr(one, name), getattr(other, name)
        torch.testing.assert_close(a, b, rtol=0, atol=0 if exact else 2e-5)
    assert (one.state is None) == (other.state is None)
    if one.state is not None and other.state is not None:
        assert torch.equal(one.state.forced, other.state.forced)
        assert torch.equal(one.state.origin, other.state.origin)


class Counting(torch.nn.Module):
    """Notes the size of every batch; runs out of memory above a limit."""

    def __init__(self, model: HMRModel, most: int = 1000) -> None:
        super().__init__()
        self.model, self.most, self.sizes = model, most, list[int]()

    def forward(self, crops: Tensor, **others: Any) -> HMROutput:
        self.sizes.append(len(crops))
        if len(crops) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return self.model(crops, **others)


def counting(runner: EncoderRunner, most: int = 1000) -> Counting:
    watched = Counting(runner.model, most)
    runner._forward = watched
    return watched


@pytest.mark.parametrize("merge_to", [None, 6])
def test_any_number_of_crops_comes_out_as_from_the_plain_network(merge_to: int | None) -> None:
    runner = EncoderRunner(network(merge_to=merge_to), precision="fp32", batch_size=4)
    crops, levels = crops_of(11), levels_of(11)
    with torch.inference_mode():
        plain = network(merge_to=merge_to)(crops, protection=levels)
    seen = counting(runner)
    result = runner.encode(crops, protection=levels)
    assert seen.sizes == [4, 4, 4]
    assert_same(result, plain, exact=False)
    assert all(getattr(result, name).dtype == torch.float32 for name in PARTS)


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, []), (1, [1]), (2, [2]), (3, [4]), (5, [6]), (6, [6]), (9, [6, 4])]
)
def test_batches_have_few_sizes(count: int, sizes: list[int]) -> None:
    runner = EncoderRunner(network(), precision="fp32", batch_size=6)
    seen = counting(runner)
    result = runner.encode(crops_of(count))
    assert seen.sizes == sizes
    assert [len(getattr(result, name)) for name in PARTS] == [count] * 4
    assert result.token.shape == (count, TINY_HMR2.head_dim)


def test_neighbours_in_the_batch_change_nothing() -> None:
    runner = EncoderRunner(network(merge_to=6), precision="fp32", batch_size=4)
    crops, levels = crops_of(6), levels_of(6)
    together = runner.encode(crops[:4], protection=levels[:4])
    order = [3, 5, 1, 4]
    mixed = runner.encode(crops[order], protection=levels[order])
    alone = runner.encode(crops[[3, 3, 3]], protection=levels[[3, 3, 3]])  # filled up to four
    for name in PARTS:
        assert torch.equal(getattr(mixed, name)[0], getattr(together, name)[3])
        assert torch.equal(getattr(mixed, name)[2], getattr(together, name)[1])
        assert torch.equal(getattr(alone, name)[2], getattr(together, name)[3])
    assert together.state is not None
    assert mixed.state is not None
    assert torch.equal(mixed.state.forced[0], together.state.forced[3])


def test_box_goes_along_with_its_crop() -> None:
    runner = EncoderRunner(network(TINY_CAMERAHMR), precision="fp32", batch_size=2)
    crops, boxes = crops_of(5), torch.randn((5, 3), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        plain = network(TINY_CAMERAHMR)(crops, box_info=boxes)
    assert_same(runner.encode(crops, boxes), plain, exact=False)
    with pytest.raises(ValueError, match="5 crops with 4"):
        runner.encode(crops, boxes[:4])


# --- recorded


def test_recorded_runs_give_the_same_and_one_recording_serves_all() -> None:
    recorder = FakeRecorder()
    recorded = EncoderRunner(
        network(merge_to=6), precision="fp32", batch_size=4, cuda_graph=True, recorder=recorder
    )
    plain = EncoderRunner(network(merge_to=6), precision="fp32", batch_size=4)
    recorded.prepare()
    for count in (10, 3):
        crops, levels = crops_of(count, seed=count), levels_of(count)
        # A recording is made for whole batches only: the plain network gets them filled up, too.
        filled = torch.cat([crops, crops[:1].expand(-count % 4, -1, -1, -1)])
        filled_levels = torch.cat([levels, levels[:1].expand(-count % 4, -1)])
        expected = plain.encode(filled, protection=filled_levels)
        result = recorded.encode(crops, protection=levels)
        for name in PARTS:
            assert torch.equal(getattr(result, name), getattr(expected, name)[:count])
    assert recorder.recordings == 1
    assert recorder.replays == 1 + 3 + 1


def test_results_outlive_the_next_run() -> None:
    runner = EncoderRunner(
        network(), precision="fp32", batch_size=2, cuda_graph=True, recorder=FakeRecorder()
    )
    first = runner.encode(crops_of(2, seed=1))
    kept = first.token.clone()
    runner.encode(crops_of(2, seed=2))
    assert torch.equal(first.token, kept)


def test_graphs_without_a_gpu_are_refused() -> None:
    with pytest.raises(BadCall, match="NVIDIA"):
        EncoderRunner(network(), "cpu", cuda_graph=True)


@pytest.mark.slow
def test_compiled_network_gives_the_same() -> None:
    config = dataclasses.replace(TINY_HMR2, depth=1, head_depth=1)
    compiled = EncoderRunner(network(config, merge_to=10), precision="fp32", batch_size=2, compile=True)
    plain = EncoderRunner(network(config, merge_to=10), precision="fp32", batch_size=2)
    crops, levels = crops_of(3), levels_of(3)
    assert_same(
        compiled.encode(crops, protection=levels), plain.encode(crops, protection=levels), exact=False
    )


# --- precision


@pytest.mark.parametrize(("precision", "most"), [("bf16", 0.1), ("fp16", 0.02)])
def test_half_precision_is_near_the_whole(precision: str, most: float) -> None:
    crops = crops_of(4)
    whole = EncoderRunner(network(), precision="fp32").encode(crops)
    half_runner = EncoderRunner(network(), precision=precision)
    assert half_runner.dtype in (torch.bfloat16, torch.float16)
    half = half_runner.encode(crops)
    assert half.rotmat.dtype == torch.float32
    error = (half.rotmat - whole.rotmat).abs().max()
    assert 0 < error < most


def test_unknown_precision_and_empty_batches_are_refused() -> None:
    with pytest.raises(BadCall, match="int4"):
        EncoderRunner(network(), precision="int4")
    with pytest.raises(BadCall, match="batch of 0"):
        EncoderRunner(network(), batch_size=0)


# --- when things go wrong


def test_full_memory_halves_the_batches(caplog: pytest.LogCaptureFixture) -> None:
    runner = EncoderRunner(network(), precision="fp32", batch_size=8)
    expected = EncoderRunner(network(), precision="fp32", batch_size=2).encode(crops_of(9))
    seen = counting(runner, most=3)
    with caplog.at_level(logging.WARNING):
        result = runner.encode(crops_of(9))
    assert seen.sizes == [8, 4, 2, 2, 2, 2, 1]
    assert runner.batch_size == 2
    assert "goes on with 2 crops" in caplog.text
    assert_same(result, expected)


def test_full_memory_at_one_crop_is_told() -> None:
    runner = EncoderRunner(network(), batch_size=2, name="some.ckpt")
    counting(runner, most=0)
    with pytest.raises(BadCall, match=r"does not hold some\.ckpt.*device 'cpu'"):
        runner.encode(crops_of(2))


def test_full_memory_with_graphs_records_anew() -> None:
    recorder = FakeRecorder()
    runner = EncoderRunner(network(), precision="fp32", batch_size=8, cuda_graph=True, recorder=recorder)
    seen = counting(runner, most=4)
    assert len(runner.encode(crops_of(9)).token) == 9
    assert seen.sizes == [8] + [4] * 4  # a recording runs it once, each replay of the fake again
    assert runner.batch_size == 4


@pytest.mark.parametrize(("precision", "advice"), [("fp32", "damaged"), ("fp16", "precision fp32")])
def test_numbers_that_are_not_finite_name_the_checkpoint(precision: str, advice: str) -> None:
    state = random_state(TINY_HMR2)
    state["backbone.blocks.1.mlp.fc2.bias"][3] = float("inf")
    runner = EncoderRunner(HMRModel.from_state(TINY_HMR2, state), precision=precision, name="bad.ckpt")
    with pytest.raises(BadInput, match=rf"bad\.ckpt gave .* 3 of 3 crops.*{advice}"):
        runner.encode(crops_of(3))


def test_work_stops_between_layers() -> None:
    runner = EncoderRunner(network(), precision="fp32", batch_size=4)
    calls: list[int] = []

    def check() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise Cancelled("stop")

    with pytest.raises(Cancelled):
        runner.encode(crops_of(4), check=check)
    assert len(calls) == 2
    runner.encode(crops_of(4))
    assert len(calls) == 2  # and it is not asked again afterwards


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU answers: cannot run on one")
@pytest.mark.parametrize("precision", ["fp32", "auto"])
def test_gpu_gives_what_the_cpu_gives(precision: str) -> None:
    crops, levels = crops_of(11, WHOLE), levels_of(11, WHOLE)
    on_cpu = EncoderRunner(network(WHOLE, merge_to=96), precision="fp32").encode(crops, protection=levels)
    for graph in (True, False):
        on_gpu = EncoderRunner(
            network(WHOLE, merge_to=96), "cuda", precision=precision, batch_size=4, cuda_graph=graph
        )
        on_gpu.prepare()
        result = on_gpu.encode(crops, protection=levels)
        assert (result.rotmat - on_cpu.rotmat).abs().max() < (0.01 if precision == "fp32" else 0.3)
        again = on_gpu.encode(crops, protection=levels)
        assert torch.equal(result.rotmat, again.rotmat)
