# SPDX-License-Identifier: Apache-2.0
"""The whole flow for one clip: :func:`recover`, from footage to motion files.

Everything heavy (PyTorch, the perception) is imported when a job starts, so that the command line
and the worker answer at once.
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fasthmr
from fasthmr.chosen_decoder import ChosenDecoder, choose_decoder
from fasthmr.device import choose_device
from fasthmr.jobs import Job, storing
from fasthmr.models import Models
from fasthmr.progress import Progress
from fasthmr.request import Clip, EncoderChoice, RecoverRequest, check, identify
from fasthmr.stages import (
    choose,
    encode_everyone,
    find_everyone,
    fit_everyone,
    gather_evidence,
    place_everyone,
)

if TYPE_CHECKING:
    from fasthmr.body import BodyModel

__all__ = ["RecoverRequest", "RecoverResult", "job_folder", "recover"]


@dataclass(frozen=True)
class RecoverResult:
    """What came out of a job.

    Args:
        folder: the job's folder.
        motions: one motion file a person, in the order of the people's numbers.
        body: the body model file that the motions need, None for the open body.
        seconds_by_stage: stage -> wall time in this run.
        reused: parts that an earlier run had finished already.
    """

    folder: Path
    motions: tuple[Path, ...]
    body: Path | None
    seconds_by_stage: dict[str, float]
    reused: tuple[str, ...] = ()


def recover(
    request: RecoverRequest, progress: Progress | None = None, models: Models | None = None
) -> RecoverResult:
    """Recover the motion of the people in a clip.

    The same request again goes on from its last finished stage (:mod:`fasthmr.jobs`).

    Args:
        request: what to recover.
        progress: told how far it is; can cancel. Silent when left out.
        models: models that are loaded already.

    Raises:
        BadCall: the request makes no sense, or names people who are not in the clip.
        BadInput: the footage or another file cannot be read, or the results cannot be written.
        NobodyFound: there is nobody in the footage.
        MissingModel: a model file is not there.
        JobBusy: another process works in the same job folder.
        Cancelled: through ``progress``; finished stages are kept.
    """
    check(request)
    models = models or Models()
    clip = identify(request.footage, request.start, request.end, progress or Progress(), request.frame_rate)
    choose_device(request.device)  # the landmark fit needs no more than the CPU; a wrong name is refused
    body = models.body(request.body)
    encoder = request.encoder
    if encoder is not None:
        models.checkpoint_digest(encoder)  # a damaged file is refused before hours of work, not after them
    decoder = choose_decoder(request, models, progress or Progress())
    with Job(job_folder(request.out, clip), clip.path, clip.sha256, _settings(request), progress) as job:
        people = find_everyone(job, clip, request.start, request.end, models)
        tracks = choose(people, request.person, clip)
        evidences = gather_evidence(clip, people, tracks, request.camera_fov)
        if encoder is not None:
            evidences = encode_everyone(job, clip, people, tracks, evidences, body, encoder, models)
        estimates = fit_everyone(job, tracks, evidences, body, decoder)
        motions = place_everyone(
            job, clip, tracks, estimates, evidences, body, _provenance(request, clip, body, models, decoder)
        )
        return _write_result(job, request, clip, motions, body)


def job_folder(out: Path, clip: Clip) -> Path:
    """Where a clip's job lives: beside its motion files."""
    return out / f"{clip.name}.job"


def _settings(request: RecoverRequest) -> dict[str, Any]:
    """The request as plain values, for ``job.json``."""
    values = dataclasses.asdict(request)
    return {key: os.fspath(value) if isinstance(value, Path) else value for key, value in values.items()}


def _provenance(
    request: RecoverRequest, clip: Clip, body: BodyModel, models: Models, decoder: ChosenDecoder | None
) -> dict[str, Any]:
    """Where a motion comes from: what its file says in ``meta``."""
    return {
        "version": fasthmr.__version__,
        "model": request.model,
        "body": body.name,
        "body_sha256": body.sha256,
        "footage": {"name": clip.path.name, "sha256": clip.sha256},
        "settings": {
            "person": request.person,
            "start": request.start,
            "end": request.end,
            "camera_fov": request.camera_fov,
            "frame_rate": request.frame_rate,
        },
        "licences": {"fasthmr": "Apache-2.0", "body": body.licence, "perception": "Apache-2.0 (BlazePose)"},
        "decoder": {"name": "landmark_fit"} if decoder is None else decoder.described(),
        **_encoder_provenance(request.encoder, models),
    }


def _encoder_provenance(choice: EncoderChoice | None, models: Models) -> dict[str, Any]:
    """Which encoder took part; nothing where none did."""
    if choice is None:
        return {}
    return {
        "encoder": {
            "checkpoint": choice.checkpoint.name,
            "sha256": models.checkpoint_digest(choice),
            "precision": choice.precision,
            "tokens": choice.tokens,
        }
    }


def _write_result(
    job: Job, request: RecoverRequest, clip: Clip, motions: Sequence[Path], body: BodyModel
) -> RecoverResult:
    """Stage "write": the body that the motions need, when it is not the open one, and ``result.json``."""
    from fasthmr.body import save_body

    started = time.perf_counter()
    job.progress.report("write", 0, 1)
    body_path = None
    if request.body != "open":
        body_path = request.out / f"{clip.name}.body.npz"
        with storing(body_path):
            save_body(body, body_path)
    seconds = {"probe": clip.seconds, **job.seconds, "write": time.perf_counter() - started}
    seconds = {stage: round(value, 3) for stage, value in seconds.items()}
    job.finish(
        {
            "motions": [path.name for path in motions],
            "body": body_path.name if body_path else None,
            "seconds_by_stage": seconds,
            "reused": job.reused,
        }
    )
    job.progress.report("write", 1, 1)
    return RecoverResult(job.folder, tuple(motions), body_path, seconds, tuple(job.reused))
