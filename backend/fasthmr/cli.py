# SPDX-License-Identifier: Apache-2.0
"""The command ``fasthmr``: a thin layer over the package.

Standard output carries results only (paths, tables, or JSON with ``--json``); progress, messages and
the log go to standard error. Exit codes are those of :mod:`fasthmr.errors`. This module imports
nothing heavy, so that ``fasthmr --help`` answers at once; the commands import what they need.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import fasthmr
from fasthmr import cli_bench, cli_checkpoint, cli_evaluate, cli_train
from fasthmr.cli_output import put, put_json, report, say
from fasthmr.cli_parser import CLIP_HELP, add_body, add_span, command_parser
from fasthmr.errors import BadCall
from fasthmr.request import DEFAULT_MODEL


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: the words after ``fasthmr``; the process's own when left out.

    Returns:
        The exit code.
    """
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(cli_evaluate.with_word(words))
    cancelled = _cancel_on_signals()
    try:
        return options.command(options, cancelled)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (the outermost place)
        return report(error)


# --- commands


def _recover(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_recover import recover_clips

    return recover_clips(options, cancelled)


def _people(options: argparse.Namespace, cancelled: threading.Event) -> int:
    import msgspec

    from fasthmr.cli_progress import CommandProgress
    from fasthmr.survey import survey

    with CommandProgress(cancelled) as progress:
        found = survey(
            options.clip, options.out, options.start, options.end, progress, frame_rate=options.frame_rate
        )
    if options.json:
        put_json(msgspec.to_builtins(found))
        return 0
    put("person  shot       frames          seconds  seen   height  thumbnail")
    for one in found.people:
        put(
            f"{one.person:6}  {one.shot:4}  {one.first_frame:5}-{one.last_frame:<5}  "
            f"{one.start:7.2f}-{one.end:<7.2f}  {one.coverage:4.0%}  {one.box_height:4.0f} px  "
            f"{one.thumbnail or '-'}"
        )
    return 0


def _doctor(options: argparse.Namespace, cancelled: threading.Event) -> int:
    import msgspec

    from fasthmr.doctor import examine

    findings = examine()
    if options.json:
        put_json(msgspec.to_builtins(findings))
    else:
        for check in findings.checks:
            mark = "ok     " if check.ok else ("MISSING" if check.required else "warning")
            put(f"{mark}  {check.name:<12}  {check.detail}")
            if not check.ok:
                put(f"{'':23}{check.advice}")
    return 0 if findings.ok else 1


def _worker(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.worker import main as serve

    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    serve()


def _preview(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_recover import write_preview

    if options.out.suffix.lower() != ".mp4":
        raise BadCall(f"The preview is an MP4 video; {options.out} does not end in .mp4.")
    paths = write_preview(options.clip, options.motions, options.body, options.out, cancelled)
    for path in paths:
        put(str(path))
    return 0


def _export(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.motion import Motion, export_smpl

    out = options.out or options.file.with_suffix(".smpl")
    export_smpl(Motion.load(options.file), out)
    put(str(out))
    return 0


# --- the parser


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fasthmr",
        description="From a video to a rigged, keyframed body: the backend of FastHMR for Blender.",
        epilog="Exit codes: 0 done, 2 bad call, 3 bad or empty input, 4 nobody found, 5 missing model file, "
        "130 cancelled, 1 anything else.",
    )
    parser.add_argument("--version", action="version", version=f"fasthmr {fasthmr.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    recover = command_parser(commands, "recover", _recover, "recover the motion of the people in clips")
    recover.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help=CLIP_HELP)
    recover.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    recover.add_argument("--person", default="all", metavar="WHO", help="all, largest, or numbers: 1,3 (all)")
    add_span(recover)
    recover.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="MODEL",
        help="estimator: open (encoder out of the box), landmarks (no encoder), hmr2 or camerahmr with a "
        f"checkpoint ({DEFAULT_MODEL})",
    )
    recover.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights of the model's encoder")
    recover.add_argument(
        "--tokens",
        type=int,
        metavar="N",
        help="how many of its 192 tokens the encoder keeps; fewer are faster (192: nothing merges)",
    )
    recover.add_argument(
        "--precision", default="auto", help="numbers of the encoder: auto, fp32, bf16 or fp16 (auto)"
    )
    recover.add_argument(
        "--decoder",
        default="auto",
        metavar="DECODER",
        help="what makes motion: auto, diffusion, regressor or landmark_fit (auto: the best that is there)",
    )
    recover.add_argument("--steps", type=int, default=1, metavar="N", help="denoising steps of diffusion (1)")
    recover.add_argument(
        "--decoder-weights", type=Path, metavar="FILE", help="your own motion decoder (the one that is there)"
    )
    recover.add_argument(
        "--no-refine", action="store_true", help="take the decoded motion as it is, not fitted to the picture"
    )
    add_body(recover)
    recover.add_argument("--device", default="auto", help="where networks run: auto, cpu, cuda or mps (auto)")
    recover.add_argument(
        "--camera-fov",
        type=float,
        metavar="DEG",
        help="horizontal field of view of the camera, degrees (from the footage, or a usual one)",
    )
    recover.add_argument("--preview", action="store_true", help="also render the body over the footage")
    recover.add_argument("--json", action="store_true", help="print one JSON object a clip")

    people = command_parser(commands, "people", _people, "show who is in a clip")
    people.add_argument("clip", type=Path, metavar="CLIP", help=CLIP_HELP)
    people.add_argument(
        "--out", type=Path, default=Path(), metavar="DIR", help="folder for the job folder (.)"
    )
    add_span(people)
    people.add_argument("--json", action="store_true", help="print JSON")

    doctor = command_parser(commands, "doctor", _doctor, "check that everything needed is there and works")
    doctor.add_argument("--json", action="store_true", help="print JSON")

    command_parser(commands, "worker", _worker, "serve Blender: JSON-RPC on standard input and output")

    preview = command_parser(commands, "preview", _preview, "render recovered bodies over their footage")
    preview.add_argument("clip", type=Path, metavar="CLIP", help=CLIP_HELP)
    preview.add_argument("motions", nargs="+", type=Path, metavar="MOTION", help="motion files of that clip")
    preview.add_argument(
        "--out", type=Path, required=True, metavar="FILE.mp4", help="the video; a picture goes beside it"
    )
    add_body(preview)

    evaluate = commands.add_parser("evaluate", help="measure motions: of jobs, and against the truth")
    cli_evaluate.add_commands(evaluate.add_subparsers(title="evaluations", metavar="WHAT", required=True))

    bench = commands.add_parser("bench", help="measure speed and memory on this machine")
    benches = bench.add_subparsers(title="benchmarks", metavar="WHAT", required=True)
    cli_bench.add_commands(benches)

    train = commands.add_parser("train", help="train networks, or make them smaller")
    cli_train.add_commands(train.add_subparsers(title="trainings", metavar="WHAT", required=True))

    checkpoint = commands.add_parser("checkpoint", help="look at the weights of an encoder, and convert them")
    cli_checkpoint.add_commands(checkpoint.add_subparsers(title="actions", metavar="ACTION", required=True))

    motion = commands.add_parser("motion", help="work with motion files")
    motions = motion.add_subparsers(title="actions", metavar="ACTION", required=True)
    export = command_parser(motions, "export", _export, "write a motion file in another format")
    export.add_argument("file", type=Path, metavar="FILE", help="motion file (.npz)")
    export.add_argument("--format", choices=["smpl"], default="smpl", help="the format (smpl)")
    export.add_argument("--out", type=Path, metavar="FILE", help="the file to write (beside the motion file)")
    return parser


def _cancel_on_signals() -> threading.Event:
    """Make the first Ctrl-C (or a polite kill) cancel the job, and the second stop it where it is."""
    cancelled = threading.Event()

    def cancel(number: int, frame: FrameType | None) -> None:
        if cancelled.is_set():
            raise KeyboardInterrupt
        cancelled.set()
        say("Cancelling. Press Ctrl-C again to stop at once.")

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, cancel)
        signal.signal(signal.SIGTERM, cancel)
    return cancelled
