# SPDX-License-Identifier: Apache-2.0
"""Running a network again and again whose first layers stay the same.

The search over layers goes from the last one down, so that most of what it tries shares its first layers with
the original network. What enters some of these layers is kept from the first run; a later run starts at the
last of them below which nothing changed. Results are the same to the last bit: the same operations on the
same batches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from fasthmr.encoder.first_guess import Guess
from fasthmr.encoder.model import HMRModel
from fasthmr.encoder.token_merging import TokenState
from fasthmr.encoder.vit import Block
from fasthmr.training.calibration import CalibrationSet, CropBatch

#: Most that is kept of what enters layers, bytes.
MEMORY: Final = 2 << 30


class RepeatedRuns:
    """Rotations and shapes that a network gives for crops.

    The first run must be of the original network.

    Args:
        model: the network; only its layers may change between runs.
        data: the crops.
        batch: crops at a time.
        memory: most that is kept, bytes.

    Attributes:
        starts: layers at which a later run can start, 0 first.
    """

    def __init__(self, model: HMRModel, data: CalibrationSet, batch: int, memory: int = MEMORY) -> None:
        self._model, self._data, self._batch = model, data, batch
        config, reduction = model.config, model.reduction
        merged = [layer for layer in range(config.depth) if reduction is not None and reduction.count(layer)]
        # Behind the last merge only values are needed, unless attention minds the sizes to the end.
        first = max(merged, default=0) + 1
        if reduction is not None and reduction.log_size_bias:
            first = config.depth
        tokens = config.all_tokens - sum(reduction.count(layer) for layer in merged if reduction is not None)
        one_layer = len(data) * tokens * config.dim * model.dtype.itemsize
        room = int(memory // one_layer)
        useful = range(first, config.depth)
        kept = min(room, len(useful))
        self.starts = (0, *(useful[(i + 1) * len(useful) // (kept + 1)] for i in range(kept)))
        self._kept: dict[tuple[int, int], Tensor] = {}  # by layer and first crop of the batch
        self._ran = False

    def run(self, same: int = 0, done: Callable[[int], None] = lambda _: None) -> tuple[Tensor, Tensor]:
        """Run the network on all crops.

        Args:
            same: how many of its first layers are still those of the first run.
            done: called with the number of crops that are done, now and then; may raise to stop.

        Returns:
            Rotations (N,24,3,3) and shapes (N,10), float32, on the CPU.
        """
        start = max(layer for layer in self.starts if layer <= same) if self._ran else 0
        rotations, shapes = [], []
        device = self._model.backbone.pos_embed.device
        with torch.inference_mode():
            for first in range(0, len(self._data), self._batch):
                done(first)
                rows = slice(first, first + self._batch)
                batch = self._data.batch(rows, device)
                guess = self._model.smpl_head.guess(batch.landmarks)
                tokens = self._layers(start, first, batch, guess)
                rotmat, betas, *_ = self._model.smpl_head(tokens, batch.box_info, guess)
                rotations.append(rotmat.float().cpu())
                shapes.append(betas.float().cpu())
        self._ran = True
        done(len(self._data))
        return torch.cat(rotations), torch.cat(shapes)

    def _layers(self, start: int, first: int, batch: CropBatch, guess: Guess | None) -> Tensor:
        """The tokens that the head reads: what :meth:`VisionTransformer.forward` does, from any layer on."""
        model, backbone = self._model, self._model.backbone
        state: TokenState | None = None
        if start:
            x, reduction = self._kept[start, first], None
        else:
            hidden = None if guess is None else guess.hidden
            x = backbone.embed(batch.crops.to(model.dtype), batch.landmarks, hidden)
            reduction = model.reduction
            if reduction is not None:
                levels = backbone.levels(batch.protection, x.shape[0], x.device)
                state = reduction.start(levels, x.shape[0], x.shape[1], x.device)
        sizes: Tensor | None = None
        for layer, block in enumerate(backbone.blocks):
            if layer < start:
                continue
            assert isinstance(block, Block)  # noqa: S101 (for the type checker)
            if not self._ran and layer in self.starts[1:]:
                self._kept[layer, first] = x
            x, keys = block.attend(x, sizes)
            if reduction is not None and state is not None and reduction.count(layer):
                x, state = reduction.reduce(x, keys.float().mean(dim=1), state, layer)
                sizes = state.sizes if reduction.log_size_bias else None
            x = block.feed(x)
        return backbone.last_norm(x)
