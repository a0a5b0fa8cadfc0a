# SPDX-License-Identifier: Apache-2.0
"""A computation recorded once and replayed: on NVIDIA GPUs a CUDA graph.

With small batches a GPU waits for the processor, which starts hundreds of kernels one by one; a graph
starts them all at once. It replays the very same addresses: inputs are copied into tensors that stay, and the
outputs lie in tensors that the next replay overwrites.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import torch
from torch import Tensor

# Before a recording, kernels are chosen and workspaces made; PyTorch's documentation advises a few runs.
_WARM_UPS: Final = 3

Outputs = tuple[Tensor | None, ...]


class Recorder(Protocol):
    """Something that records what a function does to tensors."""

    def record(self, function: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
        """Record a function.

        Args:
            function: reads and writes only tensors that stay where they are.

        Returns:
            Its outputs, and what makes them anew from what its inputs hold then.
        """
        ...


class CudaRecorder:
    """Records CUDA graphs, all in one pool of memory (they never run at the same time)."""

    def __init__(self) -> None:
        self._pool: Any = None  # PyTorch's handle; its type is not public

    def record(self, function: Callable[[], Outputs]) -> tuple[Outputs, Callable[[], None]]:
        """See :class:`Recorder`; the function must not make the processor wait for the GPU."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                function()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # "thread_local": another thread may make crops on the same GPU meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            outputs = function()
        self._pool = self._pool or graph.pool()
        return outputs, graph.replay


class StaticGraph:
    """A function of tensors of fixed shapes, recorded at the first call.

    Args:
        function: takes tensors (or None, always at the same places) and gives tensors.
        examples: inputs of the shapes, types and device that all calls will have.
        recorder: how to record.
    """

    def __init__(
        self,
        function: Callable[..., Outputs],
        examples: Sequence[Tensor | None],
        recorder: Recorder,
    ) -> None:
        self._inputs = [None if one is None else one.clone() for one in examples]
        self._outputs, self._replay = recorder.record(lambda: function(*self._inputs))

    def __call__(self, *inputs: Tensor | None) -> Outputs:
        """Run on new inputs.

        Returns:
            The outputs; the next call overwrites them.

        Raises:
            ValueError: inputs of other shapes than recorded, or None at other places.
        """
        for kept, new in zip(self._inputs, inputs, strict=True):
            if (kept is None) != (new is None) or (
                kept is not None and new is not None and kept.shape != new.shape
            ):
                raise ValueError(
                    f"recorded for {_shape(kept)}, called with {_shape(new)}: record another graph"
                )
            if kept is not None and new is not None:
                kept.copy_(new, non_blocking=True)
        self._replay()
        return self._outputs


def _shape(tensor: Tensor | None) -> str:
    return "nothing" if tensor is None else str(tuple(tensor.shape))
