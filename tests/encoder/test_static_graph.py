# SPDX-License-Identifier: Apache-2.0
"""Recording and replaying, with a recorder that behaves as CUDA's does: the same addresses every time."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fasthmr.encoder.static_graph import CudaRecorder, Outputs, StaticGraph


class FakeRecorder:
    """Replays by running the function again, into the outputs of the recording.

    Like a CUDA graph it sees its inputs where they were, and overwrites what it gave before.
    """

    def __init__(self) -> None:
        self.recordings = 0
        self.replays = 0

    def record(self, function: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
        self.recordings += 1
        kept = function()
        for one in kept:
            if one is not None:
                one.zero_()  # a recording computes nothing

        def replay() -> None:
            self.replays += 1
            for place, new in zip(kept, function(), strict=True):
                if place is not None and new is not None:
                    place.copy_(new)

        return kept, replay


def sums(a: Tensor, b: Tensor | None) -> Outputs:
    return a + 1 if b is None else a + b, None, a.sum()


def test_replay_works_on_new_inputs_and_overwrites_its_outputs() -> None:
    recorder = FakeRecorder()
    first, second = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
    graph = StaticGraph(sums, [first, second], recorder)
    one = graph(first, second)
    assert one[0] is not None
    assert one[0].tolist() == [11.0, 22.0]
    assert one[1] is None
    other = graph(second, second)
    assert other[0] is one[0]
    assert one[0].tolist() == [20.0, 40.0]
    assert (recorder.recordings, recorder.replays) == (1, 2)
    assert first.tolist() == [1.0, 2.0]  # the caller's tensors are not written to


def test_other_shapes_need_another_recording() -> None:
    graph = StaticGraph(sums, [torch.ones(2), None], FakeRecorder())
    with pytest.raises(ValueError, match=r"recorded for \(2,\), called with \(3,\)"):
        graph(torch.ones(3), None)
    with pytest.raises(ValueError, match="recorded for nothing"):
        graph(torch.ones(2), torch.ones(2))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU answers: cannot record on one")
def test_cuda_graphs_give_what_the_function_gives() -> None:
    recorder = CudaRecorder()
    inputs = [torch.randn(64, 64, device="cuda"), torch.randn(64, 64, device="cuda")]
    graphs = [StaticGraph(lambda a, b: (a @ b, (a * b).sum()), inputs, recorder) for _ in range(2)]
    for seed in range(3):
        torch.manual_seed(seed)
        a, b = torch.randn(64, 64, device="cuda"), torch.randn(64, 64, device="cuda")
        for graph in graphs:
            product, total = graph(a, b)
            assert product is not None
            assert total is not None
            torch.testing.assert_close(product, a @ b)
            torch.testing.assert_close(total, (a * b).sum())
