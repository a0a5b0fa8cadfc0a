# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train evidence``: what perception says of synthetic footage, and how far it is off."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from fasthmr.cli_output import put, put_json
from fasthmr.cli_parser import command_parser
from fasthmr.errors import BadCall


def add_commands(trains: Any) -> None:
    """Add ``evidence`` to the trainings of the command line."""
    evidence = command_parser(
        trains, "evidence", _evidence, "record perception on synthetic footage and estimate its errors"
    )
    evidence.add_argument(
        "--mocap", type=Path, required=True, metavar="DIR", help="a set made by `fasthmr train mocap`"
    )
    evidence.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the pairs; the same folder goes on"
    )
    evidence.add_argument(
        "--shards", type=int, default=40, metavar="N", help="files of eight sequences of 96 frames (40)"
    )
    evidence.add_argument("--seed", type=int, default=0, metavar="N", help="of everything drawn (0)")
    evidence.add_argument(
        "--estimate", type=Path, metavar="FILE.npz", help="estimate the model of errors, and write it here"
    )
    evidence.add_argument(
        "--offsets", action="store_true", help="measure where on the body the detector puts its landmarks"
    )
    evidence.add_argument("--json", action="store_true", help="print JSON")


def _evidence(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.training.evidence.estimate import compare_text, estimate, measure_errors, root_mean_squares
    from fasthmr.training.evidence.pairs import PairsRequest, record_pairs

    if options.shards < 1:
        raise BadCall("--shards must be 1 or more.")
    if options.estimate is not None and options.estimate.suffix != ".npz":
        raise BadCall(f"--estimate writes an .npz file; {options.estimate} is none.")
    with CommandProgress(cancelled) as progress:
        frames = record_pairs(
            PairsRequest(options.mocap, options.out, options.shards, options.seed), progress
        )
    result: dict[str, Any] = {"pairs": str(options.out), "new_frames": frames}
    text = ""
    if options.estimate is not None:
        measured = measure_errors(options.out)
        parameters = estimate(measured, options.seed)
        parameters.save(options.estimate)
        result["estimate"] = str(options.estimate)
        unexplained = measured.errors - parameters.mean(measured.truth)
        left = root_mean_squares(measured.with_errors(unexplained))
        text = "off, and off after the mean:\n" + compare_text(root_mean_squares(measured), left)
    measured_offsets = _offsets(options.out) if options.offsets else []
    if options.json:
        if options.offsets:
            result["offsets_mm"] = {name: offset for name, offset, _ in measured_offsets}
        put_json(result)
    else:
        put(f"{frames} new frames in {options.out}")
        for name, (left, up, front), off in measured_offsets:
            put(f"{name:16} {left:+5.0f} {up:+5.0f} {front:+5.0f} mm to the left, up, to the front; {off}")
        if text:
            put(text)
            put(str(options.estimate))
    return 0


def _offsets(pairs: Path) -> list[tuple[str, list[float], str]]:
    """Each landmark's offset in millimetres, and how far it is off without and with it."""
    from fasthmr.body import load_body
    from fasthmr.training.evidence.landmark_offsets import measure_offsets

    return [
        (
            one.name,
            [round(1000 * float(value), 1) for value in one.offset],
            f"off by {1000 * one.before:.1f} mm, with it {1000 * one.after:.1f}, in {one.views} views",
        )
        for one in measure_offsets(pairs, load_body("open"))
    ]
