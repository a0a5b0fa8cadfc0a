# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovering clips without a window: one, or one after the other, each into a .blend or all into one.

A clip whose result is there, made from the same footage with the same settings, is not done again. One that
fails does not stop the others. The backend stays loaded between them.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import bpy

from . import session
from .backend_location import BackendProblem
from .batch_clips import clips_in, fingerprint, twice
from .cleaning_on_arrival import CleaningWishes
from .headless_record import Outcome, Record, Report, digest
from .headless_scene import Choices, SaveProblem, Scenes, bring_in, save
from .import_motion import ImportProblem
from .job_form import clip_name
from .jobs import Job, State
from .operators import Teller

Tell = Callable[[str], None]

_FILES = ("checkpoint", "decoder_weights")
_SETTINGS = (
    *("person", "start", "end", "camera_fov", "frame_rate", "model", "device", "precision", "tokens"),
    *("decoder", "steps"),
)


class BatchProblem(Exception):  # noqa: N818 (a problem to tell the user, not a bug)
    """A batch cannot begin.

    Args:
        message: for the user.
        exit_code: what to end with.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def request_of(options: argparse.Namespace, footage: Path) -> dict[str, object]:
    """Parameters of the worker's `recover` for one clip; what was left open is left out."""
    request: dict[str, object] = {"footage": str(footage.absolute()), "out": str(options.out.absolute())}
    request |= {
        name: value for name in _SETTINGS if (value := getattr(options, name)) is not None and value != ""
    }
    request |= {name: str(file.absolute()) for name in _FILES if (file := getattr(options, name))}
    if options.body:
        request["body"] = options.body if options.body == "open" else str(Path(options.body).absolute())
    if options.no_refine:
        request["refine"] = False
    return request


def made_from(request: dict[str, object], choices: Choices, opened: str) -> str:
    """Digest of all that a clip's result depends on: its footage, the settings, files that they name.

    Not of the device, which changes the speed alone; nor of the version, so that an update does not make
    all of a large batch anew.

    Args:
        request: as :func:`request_of` gives it.
        choices: how to import.
        opened: the .blend that it is imported into a copy of; empty for a new scene.
    """
    named = [request["footage"], *(request.get(name) for name in (*_FILES, "body")), opened]
    return digest(
        {
            "settings": {name: value for name, value in request.items() if name not in ("device", "out")},
            "import": asdict(choices),
            "files": [fingerprint(Path(str(name))) for name in named if name and name != "open"],
        }
    )


def clips_of(options: argparse.Namespace) -> list[Path]:
    """The clips of a batch.

    Raises:
        BatchProblem: the folder is none, there is nothing in it, or results would overwrite one another.
    """
    folder = options.folder.absolute()
    try:
        clips = clips_in(folder, without=options.out)
    except OSError as error:
        raise BatchProblem(f"{folder} cannot be read: {error.strerror or error}.", 3) from error
    if not clips:
        raise BatchProblem(
            f"There are no clips in {folder}: no video, and no folder with images. To recover the images of"
            " this folder itself, use recover.",
            3,
        )
    if name := twice([clip_name(clip) for clip in clips]):
        raise BatchProblem(
            f"Several clips in {folder} are named {name}, and their results would overwrite one another."
            " Rename one, or recover it into a folder of its own.",
            2,
        )
    one = options.blend
    if one and one.is_file() and not Record(one).exists and bpy.data.filepath != str(one.absolute()):
        raise BatchProblem(
            f"{one} is there already, and was not made by this command. Choose another name, or let Blender"
            f" open it: blender -b {one} --command recover_motion batch …",
            2,
        )
    return clips


def recover_clips(options: argparse.Namespace, clips: Sequence[Path], report: Report, tell: Tell) -> None:
    """Recover clips, and note in the report what came of each.

    Args:
        options: the command line. Its `blend` is the one file for all; without, each has its own in `out`.
        clips: what to recover.
        report: gets an outcome for each clip, those not reached included; written after each.
        tell: says a line to the user.
    """
    report.clips = [Outcome(str(clip.absolute())) for clip in clips]
    started = time.monotonic()
    scenes = Scenes(options.blend if options.is_batch else None)
    report.write()
    try:
        for number, (clip, outcome) in enumerate(zip(clips, report.clips, strict=True), 1):
            if options.is_batch:
                tell(f"Clip {number} of {len(clips)}: {clip.name}")
            begun = time.monotonic()
            _recover(options, clip, outcome, scenes, tell)
            outcome.seconds = round(time.monotonic() - begun, 2)
            if outcome.status == "cancelled":
                return
            with contextlib.suppress(OSError):  # said when the last one cannot be written
                report.write(seconds=time.monotonic() - started)
    finally:
        session.stop()


def _recover(options: argparse.Namespace, clip: Path, outcome: Outcome, scenes: Scenes, tell: Tell) -> None:
    """Recover one clip into its .blend, and write into the outcome what came of it.

    Raises:
        BackendProblem: there is no backend: no other clip could be done either.
    """
    shared = options.is_batch and options.blend is not None
    choices = choices_of(options, shared=shared)
    request = request_of(options, clip)
    blend = options.blend or options.out / f"{clip_name(clip)}.blend"
    opened = "" if scenes.opened == str(blend.absolute()) else scenes.opened
    try:
        record, source = Record(blend), made_from(request, choices, opened)
        there = None if options.again else record.find(outcome.footage, source)
        if there is not None:
            vars(outcome).update(vars(there))
            tell(f"{clip.name} is already there: {blend}")
            _put(outcome.blend)
            return
        job = Job("recover", request)
        session.run(job, tell=Teller())
        if job.state is not State.DONE:
            outcome.status = "cancelled" if job.state is State.CANCELLED else "failed"
            outcome.exit_code, outcome.message = job.exit_code, job.message
            outcome.notes = list(job.details)
            tell("\n".join((f"{clip.name}: {job.message}", *job.details)))
            return
        body = job.result.get("body")
        bring_in(
            scenes,
            [Path(path) for path in job.result["motions"]],
            choices,
            outcome,
            footage=clip,
            body=Path(body) if body else None,
        )
        for note in outcome.notes:
            tell(note)
        outcome.blend = str(save(blend))
        outcome.status = "done"
        record.add(outcome, source, alone=not shared)
        _put(outcome.blend)
        return
    except BackendProblem as problem:
        outcome.status, outcome.exit_code, outcome.message = "failed", 1, str(problem)
        raise
    except (ImportProblem, SaveProblem) as problem:
        outcome.status, outcome.exit_code, outcome.message = "failed", 3, str(problem)
    except KeyboardInterrupt:
        outcome.status, outcome.exit_code, outcome.message = "cancelled", 130, "Cancelled."
    except OSError as error:
        outcome.status, outcome.exit_code = "failed", 3
        outcome.message = f"{error.filename or blend}: {error.strerror or error}."
    except Exception:  # noqa: BLE001 (a bug that one clip brings out must not cost the others)
        outcome.status, outcome.exit_code, outcome.message = "failed", 1, traceback.format_exc()
    tell(f"{clip.name}: {outcome.message}")


def _put(blend: str) -> None:
    sys.stdout.write(f"{blend}\n")
    sys.stdout.flush()


def choices_of(options: argparse.Namespace, *, shared: bool = False) -> Choices:
    """How to import.

    Args:
        options: the command line.
        shared: one file is for all: who is there already gets the new motion and is not made twice.
    """
    return Choices(
        not options.no_camera,
        options.set_render_size,
        options.existing or ("REPLACE" if shared else "NEW"),
        options.use_nla,
        options.body_shape == "average",
        CleaningWishes(options.smooth, options.feet == "planted", options.floor == "soles"),
    )


def summary(clips: Sequence[Outcome]) -> str:
    """What came of a batch, in a few lines."""
    counts = {
        status: sum(outcome.status == status for outcome in clips)
        for status in ("done", "already there", "failed", "cancelled", "not started")
    }
    told = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    lines = [f"{len(clips)} clip{'s' if len(clips) > 1 else ''}: {told}."]
    for outcome in clips:
        if outcome.status == "failed":
            first = outcome.message.strip().splitlines()[-1] if outcome.message else ""
            lines.append(f"  {Path(outcome.footage).name} (exit code {outcome.exit_code}): {first}")
    return "\n".join(lines)
