# SPDX-License-Identifier: Apache-2.0
"""``torch.ops.fasthmr.merge_tokens``: one merge of tokens, compiled where it could be.

**What it does.** Even positions of the current order look for their most similar odd position; the ``count``
best pairs merge into their weighted mean (ToMe, arXiv 2210.09461, section 3). Levels protect tokens
(FastHMR, arXiv 2510.10868): a pair's rank is the higher level of the two, and pairs of a lower rank come
first, in the choice of a partner as in the choice of the pairs. Within a rank the higher similarity comes
first, then the lower index.

**Similarity** is the cosine of the keys on a grid as fine as half precision, in whole numbers, so that the
reference, the C++ kernel and the CUDA kernel choose the same pairs bit for bit. With ``a`` the largest
component of a key and ``2**(e-1) <= a < 2**e``, the key times ``2**(14-e)`` is rounded to whole numbers
``v``; with ``r = isqrt(256 * sum(v*v))``, these times ``float32(2**15 / r)`` are rounded again; the score of
two keys is the sum of products, an exact whole number below ``2**24``. Keys that are smaller than ``2**-100``
or not finite count as zero.

**Where it runs.** ``python build.py setup`` compiles the operator for the CPU, and for NVIDIA GPUs where
``nvcc`` is. Where nothing could be compiled, plain PyTorch (:mod:`fasthmr.encoder.merge_reference`) stands
under the same name.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from fasthmr.encoder.merge_reference import merge_tokens_reference
from fasthmr.setup_advice import in_checkout

COMPILED: Final = Path(__file__).parent / "compiled"
SOURCES: Final = Path(__file__).parents[min(3, len(Path(__file__).parents) - 1)] / "cuda_ext"
_NAME: Final = "fasthmr::merge_tokens"
_SCHEMA: Final = (
    "(Tensor tokens, Tensor metric, Tensor sizes, Tensor levels, int count, bool weighted)"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_CUDA_TYPES: Final = (torch.float32, torch.float16, torch.bfloat16)
# Shared memory that a block can have on every NVIDIA GPU that PyTorch still runs on (Turing has the least).
# The kernel takes 62 KiB for 192 tokens with keys of 80.
_CUDA_SHARED_BYTES: Final = 64 * 1024
# Beyond these, sums of whole numbers would not be exact, or the compiled kernel's own numbers too small.
_MOST_TOKENS: Final = 2**16 - 1
_MOST_KEY_WIDTH: Final = 4096
_MOST_CHANNELS: Final = 2**24 - 1
_MOST_IMAGES: Final = 2**16 - 1

_log = logging.getLogger(__name__)


class MergedTokens(NamedTuple):
    """What a merge gives back; L = N - count.

    Attributes:
        tokens: (B, L, C), survivors in the order that they had.
        sizes: (B, L) float32, sums over each group.
        levels: (B, L) uint8, the highest of each group.
        assignment: (B, N) int64, the new position of every token.
        forced: (B,) int32, pairs whose rank was above 0.
    """

    tokens: Tensor
    sizes: Tensor
    levels: Tensor
    assignment: Tensor
    forced: Tensor


def merge_tokens(
    tokens: Tensor, metric: Tensor, sizes: Tensor, levels: Tensor, count: int, weighted: bool = True
) -> MergedTokens:
    """Merge the ``count`` best pairs of tokens of each image.

    Args:
        tokens: (B, N, C) float32, float16, bfloat16 or float64. Those that do not merge are kept bit for bit.
        metric: (B, N, D) of any floating type, what similarity is measured on; no gradient goes into it.
        sizes: (B, N) float32, how many patches each token stands for.
        levels: (B, N) uint8, 0 merges first.
        count: pairs to merge, 0 to N // 2.
        weighted: a group becomes its mean weighted by sizes; otherwise the mean of its current tokens.

    Raises:
        RuntimeError: shapes, types or the count do not fit.
    """
    operator = torch.ops.fasthmr.merge_tokens
    if tokens.is_cuda and not _fits_kernel(tokens, metric):
        operator = _checked_reference
    return MergedTokens(*operator(tokens, metric, sizes, levels, count, weighted))


def _fits_kernel(tokens: Tensor, metric: Tensor) -> bool:
    """Whether the CUDA kernel can do it: its types, and its shared memory (SharedLayout::bytes)."""
    if tokens.dtype not in _CUDA_TYPES or metric.ndim != 3:
        return False
    length, width = metric.shape[1:]
    stride = width + 1 - width % 2
    return 16 * ((length + 1) // 2) + 4 * length * stride + length <= _CUDA_SHARED_BYTES


def operator_state() -> str:
    """What merges tokens here, for people: "compiled for the CPU", or why it is plain PyTorch."""
    return _STATE


# --- loading


def why_not_loadable(folder: Path, sources: Path = SOURCES) -> str | None:
    """Why the library in a folder cannot be used with this PyTorch; None when it can.

    Args:
        folder: where ``stamp.json`` and the library are.
        sources: what it was made from. Where that is gone (an installed package) it is not asked about.
    """
    try:
        stamp = json.loads((folder / "stamp.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "it is not compiled"
    except (OSError, ValueError):
        return f"{folder / 'stamp.json'} is damaged"
    here = {"torch": torch.__version__, "machine": f"{sys.platform} {platform.machine()}"}
    for name, value in here.items():
        if not isinstance(stamp, dict) or stamp.get(name) != value:
            made_for = stamp.get(name) if isinstance(stamp, dict) else None
            return f"it was compiled for {name} {made_for}, and this is {value}"
    if sources.is_dir() and stamp.get("sources") != source_hash(sources):
        return "its sources have changed since it was compiled"
    return None if _library(folder) else "its library is missing"


def source_hash(sources: Path) -> str:
    """Digest of all that the library is made from; ``cuda_ext/build_extension.py`` writes it to the stamp."""
    digest = hashlib.sha256()
    for path in sorted(sources.iterdir()):
        if path.suffix in {".cpp", ".cu", ".cuh", ".h", ".py"}:
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _library(folder: Path) -> Path | None:
    return next(
        (path for path in sorted(folder.glob("fasthmr_operator.*")) if path.suffix in {".so", ".pyd"}), None
    )


def _load() -> str:
    """Put an implementation behind the operator's name; return what it is."""
    reason = why_not_loadable(COMPILED)
    library = _library(COMPILED)
    if reason is None and library is not None:
        try:
            torch.ops.load_library(str(library))
        except OSError as error:
            reason = f"its library does not load ({error})"
    if reason is not None:
        torch.library.define(_NAME, _SCHEMA, tags=(torch.Tag.pt2_compliant_tag,))
        torch.library.impl(_NAME, ("cpu", "cuda", "mps"))(_checked_reference)
        compiles = " `python build.py setup` compiles it where there is a compiler." if in_checkout() else ""
        state = f"plain PyTorch: {reason}.{compiles}"
        _log.info("Tokens are merged in %s", state)
        return state
    if torch._C._dispatch_has_kernel_for_dispatch_key(_NAME, "CUDA"):
        torch.library.impl(_NAME, "mps")(_checked_reference)
        return "compiled for the CPU and NVIDIA GPUs"
    torch.library.impl(_NAME, ("cuda", "mps"))(_checked_reference)
    return "compiled for the CPU"


def check_arguments(tokens: Tensor, metric: Tensor, sizes: Tensor, levels: Tensor, count: int) -> None:
    """Refuse what the compiled operator refuses.

    Raises:
        RuntimeError: shapes, types or the count do not fit.
    """
    each = tokens.shape[:2]
    if tokens.ndim != 3 or metric.ndim != 3 or metric.shape[:2] != each:
        raise RuntimeError(f"merge_tokens: tokens {tuple(tokens.shape)} and metric {tuple(metric.shape)}")
    if sizes.shape != each or sizes.dtype != torch.float32:
        raise RuntimeError(
            f"merge_tokens: sizes must be float32 {tuple(each)}, not {sizes.dtype} {tuple(sizes.shape)}"
        )
    if levels.shape != each or levels.dtype != torch.uint8:
        raise RuntimeError(
            f"merge_tokens: levels must be uint8 {tuple(each)}, not {levels.dtype} {tuple(levels.shape)}"
        )
    if not tokens.is_floating_point() or not metric.is_floating_point():
        raise RuntimeError(
            f"merge_tokens: tokens of {tokens.dtype} and metric of {metric.dtype} cannot be merged"
        )
    if not 0 <= count <= tokens.shape[1] // 2:
        most = tokens.shape[1] // 2
        raise RuntimeError(
            f"merge_tokens: {count} pairs of {tokens.shape[1]} tokens; possible are 0 to {most}"
        )
    most_of_each = (_MOST_IMAGES, _MOST_TOKENS, _MOST_CHANNELS)
    if any(n > most for n, most in zip(tokens.shape, most_of_each, strict=True)) or (
        metric.shape[2] > _MOST_KEY_WIDTH
    ):
        raise RuntimeError(
            f"merge_tokens: too large: {tuple(tokens.shape)} tokens, keys of {metric.shape[2]}"
        )


def _checked_reference(
    tokens: Tensor, metric: Tensor, sizes: Tensor, levels: Tensor, count: int, weighted: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    check_arguments(tokens, metric, sizes, levels, count)
    return merge_tokens_reference(tokens, metric, sizes, levels, count, weighted)


# --- shapes and gradients


def _fake(
    tokens: Tensor, metric: Tensor, sizes: Tensor, levels: Tensor, count: int, weighted: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Shapes and types alone, for ``torch.compile`` and ``torch.export``."""
    check_arguments(tokens, metric, sizes, levels, count)
    batch, length, width = tokens.shape
    left = length - count
    return (
        tokens.new_empty((batch, left, width)),
        sizes.new_empty((batch, left)),
        levels.new_empty((batch, left)),
        tokens.new_empty((batch, length), dtype=torch.int64),
        tokens.new_empty((batch,), dtype=torch.int32),
    )


def _keep_for_gradient(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    tokens, _, sizes, _, _, weighted = inputs
    assignment = output[3]
    weights = sizes if weighted else torch.ones_like(sizes)
    total = torch.zeros_like(output[1]).scatter_add(1, assignment, weights)
    ctx.save_for_backward(assignment, weights / total.gather(1, assignment))
    ctx.dtype = tokens.dtype
    ctx.mark_non_differentiable(*output[1:])


def _gradient(ctx: Any, grad: Tensor, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    """The gradient of a mean: each token gets its share of what its group gets."""
    assignment, share = ctx.saved_tensors
    index = assignment[..., None].expand(-1, -1, grad.shape[-1])
    return (grad.gather(1, index) * share[..., None]).to(ctx.dtype), None, None, None, None, None


_STATE: Final = _load()
_register_fake: Callable[..., Any] = torch.library.register_fake
_register_fake(_NAME, _fake)
torch.library.register_autograd(_NAME, _gradient, setup_context=_keep_for_gradient)
