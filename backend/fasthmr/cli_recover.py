# SPDX-License-Identifier: Apache-2.0
"""``fasthmr recover`` for one clip or many, and the preview of what came out."""

from __future__ import annotations

import argparse
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fasthmr.cli_output import put, put_json, report, say, worst
from fasthmr.cli_progress import CommandProgress
from fasthmr.errors import BadCall, Cancelled, FastHMRError
from fasthmr.models import Models
from fasthmr.pipeline import RecoverRequest, RecoverResult, recover
from fasthmr.request import clip_name


def recover_clips(options: argparse.Namespace, cancelled: threading.Event) -> int:
    """Recover clip after clip; one that fails does not stop the others, a cancel does.

    Returns:
        The worst exit code of all clips.

    Raises:
        BadCall: two clips would write the same files.
    """
    names = Counter(clip_name(clip) for clip in options.clips)
    if twice := [name for name, count in names.items() if count > 1]:
        raise BadCall(
            f"Several clips are named '{twice[0]}' and would write the same files. Recover them one by one, "
            "each into its own --out folder."
        )
    models = Models()
    codes = []
    for clip in options.clips:
        if len(options.clips) > 1:
            say(f"{clip}")
        codes.append(_recover_one(clip, options, models, cancelled))
        if codes[-1] == Cancelled.exit_code:
            break
    models.close()
    return worst(codes)


def write_preview(
    clip: Path,
    motions: Sequence[Path],
    body: str,
    video: Path,
    cancelled: threading.Event,
    models: Models | None = None,
) -> list[Path]:
    """Render recovered bodies over their footage.

    Args:
        clip: the footage.
        motions: motion files of that clip.
        body: "open", or the path of a body model file.
        video: the video to write; a picture of the same name goes beside it.
        cancelled: set it to stop.
        models: models that are loaded already.

    Returns:
        The files that were written.
    """
    from fasthmr.preview import render_preview

    picture = video.with_suffix(".png")
    model = (models or Models()).body(body)
    with CommandProgress(cancelled) as progress:
        render_preview(clip, motions, model, video, picture, progress)
    return [video, picture]


def _recover_one(clip: Path, options: argparse.Namespace, models: Models, cancelled: threading.Event) -> int:
    request = RecoverRequest(
        footage=clip,
        out=options.out,
        person=options.person,
        start=options.start,
        end=options.end,
        model=options.model,
        checkpoint=options.checkpoint,
        precision=options.precision,
        tokens=options.tokens,
        decoder=options.decoder,
        steps=options.steps,
        decoder_weights=options.decoder_weights,
        refine=not options.no_refine,
        body=options.body,
        device=options.device,
        camera_fov=options.camera_fov,
        frame_rate=options.frame_rate,
    )
    try:
        with CommandProgress(cancelled) as progress:
            result = recover(request, progress, models)
        preview = _preview_of(result, request, cancelled, models) if options.preview else []
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (the next clip may be sound)
        code = report(error)
        if options.json:
            kind = type(error).__name__ if isinstance(error, FastHMRError) else "InternalError"
            put_json({"clip": str(clip), "ok": False, "exit_code": code, "kind": kind, "message": str(error)})
        return code
    if options.json:
        put_json(_as_json(clip, result, preview))
    else:
        for path in [*result.motions, *([result.body] if result.body else []), *preview]:
            put(str(path))
    return 0


def _preview_of(
    result: RecoverResult, request: RecoverRequest, cancelled: threading.Event, models: Models
) -> list[Path]:
    video = result.folder.with_suffix(".preview.mp4")
    return write_preview(request.footage, result.motions, request.body, video, cancelled, models)


def _as_json(clip: Path, result: RecoverResult, preview: Sequence[Path]) -> dict[str, object]:
    return {
        "clip": str(clip),
        "ok": True,
        "folder": str(result.folder),
        "motions": [str(path) for path in result.motions],
        "body": None if result.body is None else str(result.body),
        "preview": [str(path) for path in preview],
        "seconds_by_stage": result.seconds_by_stage,
        "reused": list(result.reused),
    }
