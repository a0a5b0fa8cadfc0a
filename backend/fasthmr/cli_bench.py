# SPDX-License-Identifier: Apache-2.0
"""``fasthmr bench ...``: speed and memory on this machine."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from fasthmr.cli_output import put, put_json
from fasthmr.cli_parser import CLIP_HELP, command_parser


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


def _pipeline(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.evaluation.bench_pipeline import as_text, bench_pipeline

    with CommandProgress(cancelled) as progress:
        figures = bench_pipeline(options.clip, loop=options.loop, person=options.person, progress=progress)
    if options.json:
        put_json(figures)
    else:
        put(as_text(figures))
    return 0
