# SPDX-License-Identifier: Apache-2.0
"""``fasthmr bench ...``: speed and memory on this machine."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fasthmr.cli_output import put, put_json
from fasthmr.cli_parser import CLIP_HELP, command_parser

if TYPE_CHECKING:
    from fasthmr.encoder.config import EncoderConfig

_SIZES: Final = ("vit-h", "small")
_PRECISIONS: Final = ("auto", "fp32", "fp16", "bf16")


def add_commands(benches: Any) -> None:
    """Add the benchmarks to the command line.

    Args:
        benches: the set of commands that they belong to.
    """
    pipeline = command_parser(benches, "pipeline", _pipeline, "the whole job on a real clip, stage by stage")
    pipeline.add_argument("clip", nargs="?", type=Path, metavar="CLIP", help=f"{CLIP_HELP} (the demo's clip)")
    pipeline.add_argument("--loop", type=int, default=1, metavar="N", help="repeat the clip N times (1)")
    pipeline.add_argument("--person", default="largest", metavar="WHO", help="whose motion (largest)")
    pipeline.add_argument("--json", action="store_true", help="print JSON")

    merging = command_parser(benches, "merging", _merging, "the encoder with and without merging, in one run")
    merging.add_argument(
        "--checkpoint", type=Path, metavar="FILE", help="weights of an unmerged network (random ones)"
    )
    merging.add_argument(
        "--model", choices=["hmr2", "camerahmr", "open"], default="hmr2", help="whose network (hmr2)"
    )
    merging.add_argument(
        "--size", choices=_SIZES, default="vit-h", help="of a network with random weights (vit-h)"
    )
    _add_batches(merging)
    merging.add_argument("--layers", type=int, metavar="N", help="layers after merging (26 of 32)")
    merging.add_argument("--tokens", type=int, metavar="N", help="tokens after merging (half)")
    merging.add_argument(
        "--schedule", type=_numbers, metavar="N,N", help="merges in each of the first layers (52,26,13,5)"
    )
    _add_where(merging)
    merging.add_argument("--compile", action="store_true", help="run everything through torch.compile")
    merging.add_argument(
        "--compare", action="store_true", help="also tokens or layers alone, dropping, pooling, other means"
    )
    merging.add_argument("--repeats", type=int, default=5, metavar="N", help="rounds that are timed (5)")
    merging.add_argument("--json", action="store_true", help="print JSON")

    operator = command_parser(benches, "operator", _operator, "one merge of tokens against plain PyTorch")
    operator.add_argument("--size", choices=_SIZES, help="shapes of which network (both)")
    _add_batches(operator)
    _add_where(operator)
    operator.add_argument("--repeats", type=int, default=50, metavar="N", help="rounds that are timed (50)")
    operator.add_argument("--json", action="store_true", help="print JSON")


def _pipeline(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.evaluation.bench_pipeline import as_text, bench_pipeline

    with CommandProgress(cancelled) as progress:
        figures = bench_pipeline(options.clip, loop=options.loop, person=options.person, progress=progress)
    return _show(options, figures, as_text)


def _merging(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.device import choose_device, choose_precision
    from fasthmr.evaluation.bench_merging import TWO, VARIANTS, as_text, bench_merging

    device = choose_device(options.device)
    precision = choose_precision(device, options.precision)
    with CommandProgress(cancelled) as progress:
        figures = bench_merging(
            _network(options.model, options.size),
            options.checkpoint,
            batches=options.batch,
            device=device,
            precision=precision,
            layers=options.layers,
            target_tokens=options.tokens,
            schedule=options.schedule,
            repeats=options.repeats,
            variants=tuple(VARIANTS) if options.compare else TWO,
            compiled=options.compile,
            progress=progress,
        )
    return _show(options, figures, as_text)


def _operator(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.device import choose_device, choose_precision
    from fasthmr.evaluation.bench_operator import as_text, bench_operator

    device = choose_device(options.device)
    with CommandProgress(cancelled) as progress:
        figures = bench_operator(
            device=device,
            precision=choose_precision(device, options.precision),
            batches=options.batch,
            sizes=(options.size,) if options.size else _SIZES,
            repeats=options.repeats,
            progress=progress,
        )
    return _show(options, figures, as_text)


def _network(model: str, size: str) -> EncoderConfig:
    """The sizes of a network; there is one small network, our own, whatever the model."""
    from fasthmr.encoder.config import PUBLISHED, SMALL_OPEN

    return SMALL_OPEN if size == "small" or model == "open" else PUBLISHED[model]


def _show(
    options: argparse.Namespace, figures: dict[str, Any], as_text: Callable[[Mapping[str, Any]], str]
) -> int:
    """Print figures as the options ask for."""
    if options.json:
        put_json(figures)
    else:
        put(as_text(figures))
    return 0


def _add_batches(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--batch", type=_numbers, default=(1, 8, 32), metavar="N,N", help="crops in one call (1,8,32)"
    )


def _add_where(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="where it runs: auto, cpu, cuda or mps (auto)")
    parser.add_argument(
        "--precision", choices=_PRECISIONS, default="auto", help="numbers of the network (auto)"
    )


def _numbers(text: str) -> tuple[int, ...]:
    """Whole numbers between commas."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of whole numbers such as 1,8,32") from None
