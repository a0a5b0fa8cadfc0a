# SPDX-License-Identifier: Apache-2.0
"""What a job is asked for, checked before any work: the request, and the clip it is about."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from fasthmr.device import PRECISIONS
from fasthmr.encoder.config import WEIGHTS
from fasthmr.errors import BadCall, MissingModel
from fasthmr.progress import Progress

if TYPE_CHECKING:
    from fasthmr.footage import Footage

MODELS: Final = ("open", "landmarks", "hmr2", "camerahmr")
#: What estimates bodies when nothing is said: "open", with the encoder that comes along, or "landmarks".
DEFAULT_MODEL: Final = "open"
DECODERS: Final = ("auto", "diffusion", "regressor", "landmark_fit")
# More steps than this never paid in what has been published on such decoders.
MOST_STEPS: Final = 50
# An encoder sees a crop as 192 patches; multiples of 16 fill the tiles of matrix units.
ALL_TOKENS: Final = 192
FEWEST_TOKENS: Final = 32
#: How many of them the encoder that comes along keeps when nothing is said.
OPEN_TOKENS: Final = ALL_TOKENS

_NUMBERS: Final = re.compile(r"\s*\d+\s*(,\s*\d+\s*)*")
_PLACE_HOLDER: Final = re.compile(r"[\s._-]*(%\d*d|#+|[*?]+).*$")


@dataclass(frozen=True)
class RecoverRequest:
    """What to recover, and how.

    Args:
        footage: a video file, a folder of images, or a pattern of images.
        out: the folder for the motion files and the job folder.
        person: "all", "largest", or the numbers of people, as in "1,3".
        start: where to start, seconds; None for the beginning.
        end: where to end, seconds; None for the end.
        model: the estimator: "open", the encoder out of the box; "landmarks", what the detector says and no
            encoder; or "hmr2" or "camerahmr" with their checkpoint.
        checkpoint: the file with an encoder's weights; None for the one that comes along with "open".
        body: "open", or the path of a body model file.
        device: "auto", "cpu", "cuda" or "mps".
        camera_fov: horizontal field of view, degrees; None to take it from the footage or a default.
        frame_rate: frames per second of an image sequence; None for 24. A video has its own.
        precision: numbers that the encoder reckons with: "auto", "fp32", "bf16" or "fp16".
        tokens: how many of its 192 tokens the encoder keeps while it merges background; None for all.
        decoder: what makes motion of the evidence: "diffusion" or "regressor", the estimators of the trained
            motion decoder; "landmark_fit", which needs no weights; "auto", the best that is there.
        steps: denoising steps of "diffusion".
        decoder_weights: a motion decoder of the user's own; None for the one that comes along.
        refine: whether a decoded motion is fitted to the picture's landmarks.
    """

    footage: Path
    out: Path
    person: str = "all"
    start: float | None = None
    end: float | None = None
    model: str = DEFAULT_MODEL
    checkpoint: Path | None = None
    body: str = "open"
    device: str = "auto"
    camera_fov: float | None = None
    frame_rate: float | None = None
    precision: str = "auto"
    tokens: int | None = None
    decoder: str = "auto"
    steps: int = 1
    decoder_weights: Path | None = None
    refine: bool = True

    @property
    def encoder(self) -> EncoderChoice | None:
        """Which encoder the request asks for; None for landmarks alone, or where no weights come along."""
        checkpoint, usual = self.checkpoint, ALL_TOKENS
        if checkpoint is None and self.model == "open" and WEIGHTS.is_file():
            checkpoint, usual = WEIGHTS, OPEN_TOKENS
        if checkpoint is None or self.model == "landmarks":
            return None
        tokens = usual if self.tokens is None else self.tokens
        return EncoderChoice(self.model, checkpoint, self.precision, tokens, self.device)


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder, and how it runs.

    Args:
        kind: whose checkpoint it is: "hmr2", "camerahmr" or "open".
        checkpoint: the file with its weights.
        precision: "auto", "fp32", "bf16" or "fp16".
        tokens: how many tokens are left when it has merged; 192 merges none.
        device: "auto", "cpu", "cuda" or "mps".
    """

    kind: str
    checkpoint: Path
    precision: str = "auto"
    tokens: int = ALL_TOKENS
    device: str = "auto"


@dataclass(frozen=True)
class Clip:
    """The footage of a request, opened but not yet decoded.

    Args:
        footage: gives the frames between the request's start and end.
        name: what the results are named after.
        sha256: digest of the whole footage.
        seconds: how long it took to look at it.
    """

    footage: Footage
    name: str
    sha256: str
    seconds: float

    @property
    def path(self) -> Path:
        """The footage's absolute path."""
        return self.footage.info.path.absolute()


def check(request: RecoverRequest) -> None:
    """Refuse a request that can never work, before anything is read or written.

    Raises:
        BadCall: what is wrong with it.
        MissingModel: it asks for an encoder whose checkpoint is not there.
    """
    _check_encoder(request)
    _check_decoder(request)
    if request.person not in ("all", "largest") and not _NUMBERS.fullmatch(request.person):
        raise BadCall(f"Who is person '{request.person}'? Give 'all', 'largest', or numbers such as 1,3.")
    # What the placement takes, said before hours of work instead of after them; a test holds them together.
    if request.camera_fov is not None and not 1 <= request.camera_fov <= 170:
        raise BadCall(
            f"A camera's field of view is between 1 and 170 degrees; {request.camera_fov:g} cannot be."
        )
    check_frame_rate(request.frame_rate)


def _check_encoder(request: RecoverRequest) -> None:
    """Refuse an encoder that cannot be, or settings of one that is not asked for."""
    if request.model not in MODELS:
        raise BadCall(f"Unknown model '{request.model}'. Choose one of {', '.join(MODELS)}.")
    if request.precision not in PRECISIONS:
        raise BadCall(f"Unknown precision '{request.precision}'. Choose one of {', '.join(PRECISIONS)}.")
    tokens = request.tokens
    if tokens is not None and (not FEWEST_TOKENS <= tokens <= ALL_TOKENS or tokens % 16):
        raise BadCall(
            f"An encoder keeps {FEWEST_TOKENS} to {ALL_TOKENS} tokens, a multiple of 16; {tokens} is none."
        )
    if request.model == "landmarks":
        if request.checkpoint is not None or tokens is not None or request.precision != "auto":
            raise BadCall(
                "The model 'landmarks' has no encoder: checkpoint, tokens and precision mean nothing. Leave "
                "them out, or choose the model 'open'."
            )
    elif request.checkpoint is None:
        if request.model != "open":
            raise MissingModel(
                f"The model '{request.model}' needs its checkpoint, which cannot come along: give the file "
                "that you downloaded from its authors (docs/checkpoints.md says where), or use the model "
                "'open'."
            )
        if request.encoder is None and (tokens is not None or request.precision != "auto"):
            raise BadCall(
                "No encoder comes along with this installation, so tokens and precision mean nothing. Leave "
                "them out, or give a checkpoint."
            )
    elif not request.checkpoint.is_file():
        there = "is a folder" if request.checkpoint.is_dir() else "is not there"
        raise MissingModel(f"The checkpoint {request.checkpoint} {there}. Give the file with the weights.")


def _check_decoder(request: RecoverRequest) -> None:
    """Refuse a decoder that cannot be, or settings of one that is not asked for."""
    if request.decoder not in DECODERS:
        raise BadCall(f"Unknown decoder '{request.decoder}'. Choose one of {', '.join(DECODERS)}.")
    if not 1 <= request.steps <= MOST_STEPS:
        raise BadCall(f"The decoder takes 1 to {MOST_STEPS} steps; {request.steps} cannot be.")
    if request.steps > 1 and request.decoder != "diffusion":
        raise BadCall("Only the decoder 'diffusion' takes steps; leave them out, or choose it.")
    weights = request.decoder_weights
    if weights is not None and request.decoder == "landmark_fit":
        raise BadCall("The decoder 'landmark_fit' has no weights. Leave them out, or choose another decoder.")
    if weights is not None and not weights.is_file():
        raise MissingModel(f"The motion decoder {weights} is not there. Give the file with its weights.")


def check_frame_rate(frame_rate: float | None) -> None:
    """Refuse a frame rate that no image sequence has.

    Raises:
        BadCall: it is not between 0 and 1000.
    """
    if frame_rate is not None and not 0 < frame_rate <= 1000:
        raise BadCall(f"A sequence has between 0 and 1000 frames per second; {frame_rate:g} cannot be.")


def identify(
    path: Path, start: float | None, end: float | None, progress: Progress, frame_rate: float | None = None
) -> Clip:
    """Open the footage and find out which it is.

    Args:
        path: a video file, a folder of images, or a pattern of images.
        start: where to start, seconds; None for the beginning.
        end: where to end, seconds; None for the end.
        progress: told that the job began.
        frame_rate: frames per second of an image sequence; None for the usual one.

    Raises:
        BadCall: there is nothing between start and end.
        BadInput: the footage is missing, empty, damaged, or none at all.
    """
    from fasthmr.footage import DEFAULT_FRAME_RATE, open_footage, sha256_of

    started = time.perf_counter()
    progress.report("probe", 0, 1)
    footage = open_footage(path, start, end, frame_rate=frame_rate or DEFAULT_FRAME_RATE)
    digest = sha256_of(path)
    progress.report("probe", 1, 1)
    return Clip(footage, clip_name(path), digest, time.perf_counter() - started)


def clip_name(path: Path) -> str:
    """What the results of a clip are named after: its file name without the ending.

    A folder keeps its whole name, and a pattern loses its place-holder ("shot_%04d.png" -> "shot").
    """
    name = path.resolve().name if path.is_dir() else path.stem
    return _PLACE_HOLDER.sub("", name) or "clip"
