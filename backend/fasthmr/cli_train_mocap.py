# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train mocap``: captured motion to a set that networks learn motion from."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fasthmr.cli_output import put, put_json
from fasthmr.cli_parser import command_parser
from fasthmr.errors import BadCall

if TYPE_CHECKING:
    from fasthmr.training.mocap.prepare import PrepareResult


def add_commands(trains: Any) -> None:
    """Add ``mocap`` to the trainings of the command line."""
    mocap = command_parser(trains, "mocap", _mocap, "convert motion capture to a set to learn motion from")
    mocap.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="manifest.csv and archives, or AMASS",
    )
    mocap.add_argument("--out", type=Path, required=True, metavar="DIR", help="the set, a new folder")
    mocap.add_argument("--only", nargs="+", metavar="SOURCE", help="take these sources (all)")
    mocap.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that fit (1)")
    mocap.add_argument("--picture", type=Path, metavar="FILE.png", help="draw clips beside their sources")
    mocap.add_argument("--json", action="store_true", help="print JSON")


def _mocap(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.training.mocap.picture import write_sheet
    from fasthmr.training.mocap.prepare import PrepareRequest, prepare

    if options.jobs < 1:
        raise BadCall("--jobs must be 1 or more.")
    if options.picture is not None and options.picture.suffix.lower() != ".png":
        raise BadCall(f"--picture {options.picture} must end with .png.")
    request = PrepareRequest(options.data, options.out, tuple(options.only or ()), options.jobs)
    with CommandProgress(cancelled) as progress:
        result = prepare(request, progress)
        if options.picture is not None:
            write_sheet(options.picture, request.work, progress=progress)
    if options.json:
        put_json(_as_json(result, options.out))
    else:
        put(_as_text(result))
        put(str(options.out))
    return 0


def _as_json(result: PrepareResult, out: Path) -> dict[str, Any]:
    return {
        "set": str(out),
        "clips": result.clips,
        "minutes": result.minutes,
        "error_mm": {name: {"median": a, "p95": b} for name, (a, b) in result.errors.items()},
        "thrown_out_seconds": result.thrown_out,
        "unreadable": result.unreadable,
        "report": str(result.report),
    }


def _as_text(result: PrepareResult) -> str:
    lines = [f"{result.clips} clips"]
    lines += [f"  {split:10} {minutes:6.1f} min" for split, minutes in result.minutes.items()]
    lines.append("between joints and body, millimetres (median, 95 % below):")
    lines += [f"  {name:12} {a:5.1f} {b:6.1f}" for name, (a, b) in result.errors.items()]
    lines.append("thrown out, seconds:")
    lines += [f"  {reason:12} {seconds:7.1f}" for reason, seconds in result.thrown_out.items()]
    lines += [f"not readable: {row}" for row in result.unreadable]
    return "\n".join(lines)
