# SPDX-License-Identifier: Apache-2.0
"""Footage of held-out motion, from a plan to ``.mp4`` files with the truth beside them.

::

    out/
        footage.json                   what there is, and what it was made from
        <name>.mp4  <name>.truth.npz   a sequence
        .work/<name>/                  scene and pictures of one that is not finished

The same request again goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from fasthmr.body import BodyModel, load_body
from fasthmr.errors import BadInput
from fasthmr.evaluation.footage.film_reel import pictures, write_video
from fasthmr.evaluation.footage.plan import Sequence, plan_sequences, scene_of, truth_of
from fasthmr.evaluation.ground_truth import GroundTruth
from fasthmr.files import load_arrays, save_arrays, written_whole
from fasthmr.jobs import code_digest
from fasthmr.progress import Progress
from fasthmr.training.mocap.packed import FRAME_RATE, MocapSet

_FORMAT: Final = "fasthmr-footage"
_VERSION: Final = 1
# What the look and the truth of a sequence depend on, besides its plan.
_CODE: Final = tuple(
    f"evaluation/footage/{name}.py" for name in ("plan", "cameras", "performance", "place", "blender_scene")
)


class Renderer(Protocol):
    """Who makes pictures of a scene."""

    @property
    def version(self) -> str:
        """Of the program, for people."""
        ...

    def render(self, scene: Path, folder: Path, frame_done: Callable[[int], None]) -> None:
        """Write the pictures that are not there yet (see ``blender_scene.py``)."""
        ...


@dataclass(frozen=True)
class FootageRequest:
    """What footage to make.

    Attributes:
        mocap: the motion capture set.
        out: the folder for the footage.
        sequences: how many.
        seconds: length of each.
        seed: of everything drawn.
    """

    mocap: Path
    out: Path
    sequences: int = 12
    seconds: float = 5.0
    seed: int = 0


@dataclass(frozen=True)
class Made:
    """A finished sequence.

    Attributes:
        name: of its files.
        digest: of what it was made from.
        clip: the motion.
        set_up: how it was filmed.
        frames: how many.
        stature: of the body, metres.
        renderer: the program's version.
    """

    name: str
    digest: str
    clip: str
    set_up: str
    frames: int
    stature: float
    renderer: str


def make_footage(request: FootageRequest, renderer: Renderer, progress: Progress | None = None) -> list[Made]:
    """Plan, render and code the sequences that are not there yet.

    Args:
        request: what to make.
        renderer: makes the pictures.
        progress: told as stage "footage", in frames; may cancel.

    Raises:
        BadInput: the motion capture set is not of use, the renderer failed, or a file cannot be written.
        BadCall: the request makes no sense.
        Cancelled: through ``progress``; what is finished is kept.
    """
    progress = progress or Progress()
    body = load_body("open")
    planned = plan_sequences(
        MocapSet.open(request.mocap), body, request.sequences, request.seconds, request.seed
    )
    total = sum(len(sequence.performance.pelvis) for sequence in planned)
    known = read_list(request.out)
    made: list[Made] = []
    done = 0
    for sequence in planned:
        digest = digest_of(sequence, body)
        there = known.get(sequence.name)
        if there is None or there.digest != digest or not _is_whole(request.out, there):
            there = _make(request.out, sequence, digest, body, renderer, progress, done, total)
            known[there.name] = there
            _write_list(request.out, known)
        done += there.frames
        made.append(there)
        progress.report("footage", done, total)
    return made


def digest_of(sequence: Sequence, body: BodyModel) -> str:
    """What a sequence depends on: motion, body, the draw, and the code that films and renders."""
    performance = sequence.performance
    digest = hashlib.sha256()
    words = (sequence.name, sequence.clip, sequence.shot.set_up, sequence.seed, body.sha256)
    digest.update(repr((words, code_digest(*_CODE))).encode())
    for array in (performance.rotations, performance.betas, performance.contacts):
        digest.update(np.ascontiguousarray(array, np.float32).tobytes())
    return digest.hexdigest()


def read_list(folder: Path) -> dict[str, Made]:
    """What ``footage.json`` says is there; nothing where there is no such file.

    Raises:
        BadInput: it cannot be read.
    """
    path = folder / "footage.json"
    if not path.exists():
        return {}
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT or content["version"] != _VERSION:
            raise BadInput(f"{path} is of another kind or version. Choose another folder.")
        return {item["name"]: Made(**item) for item in content["sequences"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}). Delete it, and the footage is made anew."
        ) from error


def _write_list(folder: Path, known: dict[str, Made]) -> None:
    items = [asdict(known[name]) for name in sorted(known)]
    content = {"format": _FORMAT, "version": _VERSION, "frame_rate": FRAME_RATE, "sequences": items}
    with written_whole(folder / "footage.json") as stream:
        stream.write(json.dumps(content, indent=1).encode() + b"\n")


def _is_whole(folder: Path, made: Made) -> bool:
    """Whether both files are there and the truth can be read."""
    try:
        truth = GroundTruth.load(folder / f"{made.name}.truth.npz")
    except BadInput:
        return False
    video = folder / f"{made.name}.mp4"
    return truth.frame_count == made.frames and video.is_file() and video.stat().st_size > 0


def _make(
    out: Path,
    sequence: Sequence,
    digest: str,
    body: BodyModel,
    renderer: Renderer,
    progress: Progress,
    before: int,
    total: int,
) -> Made:
    work = out / ".work" / sequence.name
    frames = work / "frames"
    scene_path = _scene(work, sequence, digest, body)
    progress.log(f"{sequence.name}: {len(sequence.performance.pelvis)} frames")
    renderer.render(scene_path, frames, lambda done: progress.report("footage", before + done, total))
    scene = load_arrays(scene_path, "scene")
    boxes = scene["boxes"] if bool(scene["still"]) else None
    count = len(scene["vertices"])
    write_video(out / f"{sequence.name}.mp4", pictures(frames, count, boxes), FRAME_RATE)
    arrays = truth_of(sequence)
    named = {"clip", "set_up"}
    GroundTruth(
        clip=str(arrays["clip"]),
        set_up=str(arrays["set_up"]),
        frame_rate=float(arrays["frame_rate"]),
        **{name: array for name, array in arrays.items() if name not in named | {"frame_rate"}},
    ).save(out / f"{sequence.name}.truth.npz")
    shutil.rmtree(work, ignore_errors=True)
    return Made(
        sequence.name,
        digest,
        sequence.clip,
        sequence.shot.set_up,
        count,
        round(sequence.performance.stature, 3),
        renderer.version,
    )


def _scene(work: Path, sequence: Sequence, digest: str, body: BodyModel) -> Path:
    """The scene's file; pictures of another plan or of other code are thrown away."""
    path, stamp = work / "scene.npz", work / "digest"
    if path.is_file() and stamp.is_file() and stamp.read_text(encoding="ascii").strip() == digest:
        return path
    shutil.rmtree(work, ignore_errors=True)
    save_arrays(path, scene_of(sequence, body))
    with written_whole(stamp) as stream:
        stream.write(digest.encode("ascii"))
    return path
