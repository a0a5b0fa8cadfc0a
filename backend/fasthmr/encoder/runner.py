# SPDX-License-Identifier: Apache-2.0
"""A network at work: on its device, in its precision, in batches of fixed sizes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from fasthmr.device import choose_precision
from fasthmr.encoder.config import LANDMARK_NUMBERS
from fasthmr.encoder.model import HMRModel, HMROutput
from fasthmr.encoder.packed_linear import pack_linears_, packing_helps
from fasthmr.encoder.static_graph import CudaRecorder, Outputs, Recorder, StaticGraph
from fasthmr.encoder.token_merging import TokenState
from fasthmr.errors import BadCall, BadInput

# Enough to fill the device; more makes a cancelled job wait and gains nothing.
_BATCH_ON_GPU: Final = 32
_BATCH_ON_CPU: Final = 4
_STATE: Final = ("sizes", "levels", "origin", "forced")

_log = logging.getLogger(__name__)


class EncoderRunner:
    """Runs a network on any number of crops. Used by one thread at a time.

    Batches have a few fixed sizes: ``batch_size``, and the powers of two below it for what is left over; a
    batch with empty places is filled with copies of its first crop. With CUDA graphs or ``torch.compile``
    there is only ``batch_size``, since each size costs a recording. What else is in a batch changes no
    result; a batch of another size may, in the last bits.

    Args:
        model: the network; it is moved and cast, and belongs to the runner from then on.
        device: where it runs.
        precision: "auto", "fp32", "bf16" or "fp16", see :func:`fasthmr.device.choose_precision`.
        batch_size: crops at once; None for 32 on GPUs and 4 on CPUs.
        compile: whether ``torch.compile`` translates the network first; takes a minute, and a compiler.
        cuda_graph: whether runs are recorded and replayed; None: on NVIDIA GPUs.
        name: where the weights come from, for messages.
        recorder: records the graphs; None for CUDA's.

    Attributes:
        model: the network.
        device: where it runs.
        dtype: precision of its weights.
        batch_size: crops at once; halved when the GPU's memory does not hold them.

    Raises:
        BadCall: an unknown precision, a batch of nothing, or graphs without an NVIDIA GPU.
    """

    def __init__(
        self,
        model: HMRModel,
        device: torch.device | str = "cpu",
        precision: str = "auto",
        batch_size: int | None = None,
        compile: bool = False,  # noqa: A002 (PyTorch's own word for it)
        cuda_graph: bool | None = None,
        name: str = "",
        recorder: Recorder | None = None,
    ) -> None:
        self.device = torch.device(device)
        self.dtype = choose_precision(self.device, precision)
        on_cpu = self.device.type == "cpu"
        self.batch_size = (_BATCH_ON_CPU if on_cpu else _BATCH_ON_GPU) if batch_size is None else batch_size
        if self.batch_size < 1:
            raise BadCall(f"A batch of {self.batch_size} crops is not possible. Take 1 or more.")
        graphs = self.device.type == "cuda" if cuda_graph is None else cuda_graph
        if graphs and recorder is None and self.device.type != "cuda":
            raise BadCall(f"CUDA graphs need an NVIDIA GPU; the device is '{self.device}'. Leave them out.")
        self.name = name or f"the encoder ({model.config.kind})"
        self.model = model.cast_(self.dtype).to(self.device).eval()
        rows = self.batch_size * model.config.all_tokens
        if not compile and packing_helps(rows, self.dtype, self.device):
            pack_linears_([self.model.backbone], rows)
        self._forward: Callable[..., HMROutput] = self.model
        if compile:
            self._forward = torch.compile(self.model, dynamic=False)
        self._recorder = (recorder or CudaRecorder()) if graphs else None
        self._one_size = graphs or compile
        self._graphs: dict[tuple[Any, ...], StaticGraph] = {}
        self._check: Callable[[], None] | None = None
        if on_cpu and not self._one_size:
            for block in self.model.backbone.blocks:
                block.get_submodule("norm1").register_forward_pre_hook(self._between_layers)

    @property
    def merges(self) -> bool:
        """Whether it merges tokens, and so wants to know which patches to protect."""
        return self.model.reduction is not None

    def encode(
        self,
        crops: Tensor,
        box_info: Tensor | None = None,
        protection: Tensor | None = None,
        check: Callable[[], None] | None = None,
        landmarks: Tensor | None = None,
    ) -> HMROutput:
        """Run the network.

        Args:
            crops: (B,C,256,192) float32, normalised, on any device; any B from 0 on.
            box_info: (B,3), for CameraHMR.
            protection: (B,192) uint8, which patches not to merge; for a network that merges.
            check: called between the layers on a CPU, where a batch takes seconds; it may raise to stop.
            landmarks: (B,L,6), for a network that reads them.

        Returns:
            The output on the CPU, float32.

        Raises:
            BadInput: numbers that are not finite came out.
            BadCall: the GPU's memory does not hold one crop.
            ValueError: CameraHMR without ``box_info``, a network that reads landmarks without them, or inputs
                of unequal length.
        """
        for other in (box_info, protection, landmarks):
            if other is not None and len(other) != len(crops):
                raise ValueError(f"{len(crops)} crops with {len(other)} of something else")
        self._check = check
        parts: list[Outputs] = []
        start = 0
        try:
            while start < len(crops):
                stop = min(start + self.batch_size, len(crops))
                others = (
                    None if one is None else one[start:stop] for one in (box_info, protection, landmarks)
                )
                try:
                    parts.append(self._encode_batch(crops[start:stop], *others))
                except torch.OutOfMemoryError as error:
                    self._take_less(stop - start, error)
                    continue
                start = stop
        finally:
            self._check = None
        output = self._assembled(parts)
        self._refuse_infinite(output)
        return output

    def prepare(self) -> None:
        """Record and compile now what the first batch would wait for; nothing where nothing is."""
        if not self._one_size:
            return
        config = self.model.config
        empty = torch.zeros((self.batch_size, config.in_channels, *config.image_size))
        boxes = torch.zeros((self.batch_size, 3)) if config.reads_box else None
        levels = torch.zeros((self.batch_size, config.tokens), dtype=torch.uint8) if self.merges else None
        marks = None
        if config.landmarks:
            marks = torch.zeros((self.batch_size, config.landmarks, LANDMARK_NUMBERS))
        self.encode(empty, boxes, levels, landmarks=marks)

    def _encode_batch(
        self, crops: Tensor, box_info: Tensor | None, protection: Tensor | None, landmarks: Tensor | None
    ) -> Outputs:
        """One batch of up to ``batch_size`` crops, filled up to a fixed size; the result on the CPU."""
        count = len(crops)
        size = self._size_for(count)
        inputs = [_filled(one, size, self.device) for one in (crops, box_info, protection, landmarks)]
        with torch.inference_mode():
            if self._recorder is None:
                outputs = self._run(*inputs)
            else:
                shapes = tuple(None if one is None else tuple(one.shape) for one in inputs)
                if shapes not in self._graphs:
                    self._graphs[shapes] = StaticGraph(self._run, inputs, self._recorder)
                outputs = self._graphs[shapes](*inputs)
            return tuple(None if one is None else one[:count].to("cpu", copy=True) for one in outputs)

    def _run(
        self,
        crops: Tensor | None,
        box_info: Tensor | None,
        protection: Tensor | None,
        landmarks: Tensor | None,
    ) -> Outputs:
        output = self._forward(crops, box_info=box_info, protection=protection, landmarks=landmarks)
        state = [None if output.state is None else getattr(output.state, name) for name in _STATE]
        return output.rotmat, output.betas, output.camera, output.token, *state

    def _size_for(self, count: int) -> int:
        """The fixed size that so many crops run in."""
        if self._one_size:
            return self.batch_size
        return min(self.batch_size, 1 << (count - 1).bit_length())

    def _take_less(self, tried: int, error: torch.OutOfMemoryError) -> None:
        """Halve the batches after the GPU's memory ran out."""
        if tried == 1 and self._size_for(tried) == 1:
            raise BadCall(
                f"The memory of {self.device} does not hold {self.name}, even with one crop at a time. Close "
                "other programs that use the GPU, take precision 'bf16' or 'fp16', or device 'cpu'."
            ) from error
        self.batch_size = max(1, self._size_for(tried) // 2)
        self._graphs.clear()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        _log.warning("The GPU's memory ran out: the encoder goes on with %d crops at once.", self.batch_size)

    def _assembled(self, parts: list[Outputs]) -> HMROutput:
        """Batches one after the other."""
        if not parts:
            config = self.model.config
            shapes = [(0, 24, 3, 3), (0, 10), (0, 3), (0, config.head_dim)]
            rotmat, betas, camera, token = (torch.empty(shape) for shape in shapes)
            return HMROutput(rotmat, betas, camera, token)
        columns = [_joined(column) for column in zip(*parts, strict=True)]
        rotmat, betas, camera, token = (one.float() for one in columns[:4] if one is not None)
        state = [one for one in columns[4:] if one is not None]
        return HMROutput(rotmat, betas, camera, token, TokenState(*state) if state else None)

    def _refuse_infinite(self, output: HMROutput) -> None:
        good = output.finite()
        if bool(good.all()):
            return
        names = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
        way = "Its weights are damaged, or of another network: download it again."
        if self.dtype != torch.float32:
            way = f"Use precision fp32 instead of {names[self.dtype]}; if it stays so, download it again."
        bad = f"{int((~good).sum())} of {len(good)} crops"
        raise BadInput(f"{self.name} gave numbers that are not finite for {bad}. {way}")

    def _between_layers(self, *_: Any) -> None:
        if self._check is not None:
            self._check()


def _filled(tensor: Tensor | None, size: int, device: torch.device) -> Tensor | None:
    """A batch on the device, its empty places filled with its first entry."""
    if tensor is None:
        return None
    tensor = tensor.to(device, non_blocking=True)
    missing = size - len(tensor)
    return tensor if not missing else torch.cat([tensor, tensor[:1].expand(missing, *tensor.shape[1:])])


def _joined(column: tuple[Tensor | None, ...]) -> Tensor | None:
    tensors = [one for one in column if one is not None]
    return torch.cat(tensors) if tensors else None
