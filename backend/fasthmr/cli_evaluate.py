# SPDX-License-Identifier: Apache-2.0
"""``fasthmr evaluate ...``: finished jobs, rendered footage with its truth, ablations."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fasthmr.cli_output import put, put_json
from fasthmr.cli_parser import command_parser
from fasthmr.errors import BadCall

if TYPE_CHECKING:
    from fasthmr.decoder.motion_decoder import MotionDecoder
    from fasthmr.evaluation.methods import Method

_WORDS: Final = ("jobs", "footage", "truth", "ablations")
_DECODERS: Final = ("auto", "diffusion", "regressor", "landmark_fit")  # a test holds them to the request's


def with_word(arguments: Sequence[str]) -> list[str]:
    """Put the word ``jobs`` in: ``fasthmr evaluate JOB...`` means ``fasthmr evaluate jobs JOB...``."""
    words = list(arguments)
    if words[:1] == ["evaluate"] and len(words) > 1 and words[1] not in (*_WORDS, "-h", "--help"):
        words.insert(1, "jobs")
    return words


def add_commands(evaluations: Any) -> None:
    """Add the evaluations to the command line.

    Args:
        evaluations: the set of commands that they belong to.
    """
    jobs = command_parser(evaluations, "jobs", _jobs, "measure the motions of finished jobs, without truth")
    jobs.add_argument("jobs", nargs="+", type=Path, metavar="JOB", help="job folders (<clip>.job)")
    jobs.add_argument("--json", action="store_true", help="print JSON")

    footage = command_parser(
        evaluations, "footage", _footage, "render held-out motion as footage with its truth"
    )
    footage.add_argument(
        "--mocap", type=Path, required=True, metavar="DIR", help="motion capture (`fasthmr train mocap`)"
    )
    footage.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the footage")
    footage.add_argument("--sequences", type=int, default=12, metavar="N", help="how many (12)")
    footage.add_argument("--seconds", type=float, default=5.0, metavar="S", help="length of each (5)")
    footage.add_argument("--seed", type=int, default=0, metavar="N", help="of everything that is drawn (0)")
    footage.add_argument(
        "--blender", type=Path, metavar="PROGRAM", help="Blender, or a Python that has bpy (the one found)"
    )
    footage.add_argument("--threads", type=int, default=1, metavar="N", help="of Blender; 0: all (1)")
    footage.add_argument("--json", action="store_true", help="print JSON")

    truth = command_parser(
        evaluations, "truth", _truth, "recover rendered footage and compare with its truth"
    )
    _add_recovery(truth)
    truth.add_argument("--decoder", choices=_DECODERS, default="auto", help="what makes motion (auto)")
    truth.add_argument("--steps", type=int, default=1, metavar="N", help="denoising steps of diffusion (1)")
    truth.add_argument("--no-refine", action="store_true", help="take the decoded motion as it is")
    truth.add_argument("--one-euro", action="store_true", help="smooth the estimate with a One-Euro filter")
    truth.add_argument("--json", action="store_true", help="print JSON")

    ablations = command_parser(evaluations, "ablations", _ablations, "compare variants of the method")
    _add_recovery(ablations)
    ablations.add_argument(
        "--out", type=Path, required=True, metavar="FILE.md", help="the tables; FILE.json goes beside them"
    )
    ablations.add_argument(
        "--clips", type=Path, nargs="+", default=[], metavar="CLIP", help="also real clips"
    )


def _add_recovery(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("footage", type=Path, metavar="DIR", help="rendered footage (`evaluate footage`)")
    parser.add_argument("--work", type=Path, metavar="DIR", help="folder for job folders (DIR/recovered)")
    parser.add_argument(
        "--decoder-weights", type=Path, metavar="FILE", help="your own motion decoder (the one that is there)"
    )
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="encoder that takes part (none)")
    parser.add_argument(
        "--model", choices=("open", "hmr2", "camerahmr"), default="open", help="whose checkpoint (open)"
    )


def _jobs(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.evaluation.evaluate import as_table, evaluate_job

    rows = [row for folder in options.jobs for row in evaluate_job(folder)]
    if options.json:
        put_json(rows)
    else:
        put(as_table(rows))
    return 0


def _footage(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from dataclasses import asdict

    from fasthmr.cli_progress import CommandProgress
    from fasthmr.evaluation.footage.blender import find_blender
    from fasthmr.evaluation.footage.make import FootageRequest, make_footage

    request = FootageRequest(options.mocap, options.out, options.sequences, options.seconds, options.seed)
    with CommandProgress(cancelled) as progress:
        made = make_footage(request, find_blender(options.blender, options.threads), progress)
    if options.json:
        put_json([asdict(one) for one in made])
    else:
        for one in made:
            put(f"{options.out / one.name}.mp4")
    return 0


def _truth(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.evaluation.against_truth import mean_of
    from fasthmr.evaluation.truth_table import EXPLANATION, by_sequence, evaluate_clip, rendered_clips
    from fasthmr.models import Models

    models = Models()
    networks = models.motion_decoder(options.decoder_weights)
    method = _method(options, networks)
    clips = rendered_clips(options.footage)
    body = models.body("open")
    results = []
    with CommandProgress(cancelled) as progress:
        for clip in clips:
            work = options.work or options.footage / "recovered"
            results += evaluate_clip(clip, [method], work, body, models, networks, progress)
    if options.json:
        mean = mean_of([result.figures for result in results]).to_json()
        put_json({"method": method.name, "sequences": [one.to_json() for one in results], "mean": mean})
    else:
        put(f"{method.name}\n\n{by_sequence(results)}\n\n{EXPLANATION}")
    return 0


def _ablations(options: argparse.Namespace, cancelled: threading.Event) -> int:
    import json
    import shlex

    from fasthmr.cli_progress import CommandProgress
    from fasthmr.evaluation.ablations import chosen, document, see_clip, variants
    from fasthmr.evaluation.truth_table import evaluate_clip, rendered_clips
    from fasthmr.files import written_whole
    from fasthmr.models import Models

    if options.out.suffix.lower() != ".md":
        raise BadCall(f"The tables are Markdown; {options.out} does not end in .md.")
    models = Models()
    networks = models.motion_decoder(options.decoder_weights)
    methods = variants(networks, _encoder(options))
    clips = rendered_clips(options.footage)
    body, work = models.body("open"), options.work or options.footage / "recovered"
    results, seen = [], []
    with CommandProgress(cancelled) as progress:
        if networks is None:
            progress.log("No weights of a motion decoder come along: only the baselines are measured.")
        for clip in clips:
            results += evaluate_clip(clip, methods, work, body, models, networks, progress)
        for clip in options.clips:
            seen += see_clip(clip, chosen(methods), work, body, models, networks, progress)
    words = ["fasthmr", "evaluate", "ablations", options.footage.name, "--out", options.out.name]
    words += ["--clips", *(clip.name for clip in options.clips)] if options.clips else []
    provenance = {
        "footage": f"{len(clips)} sequences, {sum(clip.truth.frame_count for clip in clips)} frames",
        "motion decoder": "none" if networks is None else f"sha256 {networks.sha256}",
    }
    with written_whole(options.out) as stream:
        stream.write(document(results, seen, shlex.join(words), provenance).encode())
    with written_whole(options.out.with_suffix(".json")) as stream:
        rows = {"truth": [one.to_json() for one in results], "without_truth": [one.to_json() for one in seen]}
        stream.write(json.dumps({**provenance, **rows}, indent=1).encode() + b"\n")
    put(str(options.out))
    return 0


def _method(options: argparse.Namespace, networks: MotionDecoder | None) -> Method:
    """The method that the options describe.

    Raises:
        BadCall: steps of a decoder that takes none.
    """
    from fasthmr.decoder.decode import DecodeSettings
    from fasthmr.decoder.refine import RefineSettings
    from fasthmr.evaluation.methods import Method
    from fasthmr.evaluation.one_euro import OneEuroBody

    name = options.decoder
    if name == "auto":
        name = "landmark_fit" if networks is None else networks.config.default
    if options.steps < 1 or (options.steps > 1 and name != "diffusion"):
        raise BadCall("Only the decoder 'diffusion' takes steps, one or more.")
    settings = (
        DecodeSettings() if name == "landmark_fit" else DecodeSettings(estimator=name, steps=options.steps)
    )
    title = f"{name}, {options.steps} steps" if options.steps > 1 else name
    refinement = None if options.no_refine or name == "landmark_fit" else RefineSettings()
    title = title if refinement is None else f"{title}, refined"
    smoothed = OneEuroBody() if options.one_euro else None
    title = f"{title} + One-Euro" if smoothed else title
    return Method(title, name, settings, _encoder(options), refinement, smoothed)


def _encoder(options: argparse.Namespace) -> Any:
    from fasthmr.request import EncoderChoice

    if options.checkpoint is None:
        if options.model != "open":
            raise BadCall(f"The model '{options.model}' needs its checkpoint: give it with --checkpoint.")
        return None
    return EncoderChoice(options.model, options.checkpoint)
