# SPDX-License-Identifier: Apache-2.0
"""Ways to recover a clip that are compared with one another, over one look at the footage.

Finding people is what takes long and is the same for all: it is a job's stage "people", kept in its folder.
What comes after it is the pipeline's own code, with settings that the command line does not offer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from fasthmr.body import BodyModel
from fasthmr.decoder.decode import DecodeSettings, decode
from fasthmr.decoder.landmark_fit import fit_landmarks
from fasthmr.decoder.motion_decoder import MotionDecoder
from fasthmr.decoder.refine import RefineSettings, refine
from fasthmr.errors import MissingModel
from fasthmr.evaluation.one_euro import OneEuroBody, smooth_estimate
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.jobs import Job
from fasthmr.models import Models
from fasthmr.motion import Motion
from fasthmr.people import Track
from fasthmr.placement import place
from fasthmr.progress import Progress
from fasthmr.request import EncoderChoice, RecoverRequest, check, identify
from fasthmr.stages import choose, encode_everyone, find_everyone, gather_evidence

Decoder = Literal["landmark_fit", "diffusion", "regressor"]


@dataclass(frozen=True)
class Method:
    """One way to recover.

    Attributes:
        name: in the tables.
        decoder: what makes motion.
        settings: of the trained decoder; its estimator is ``decoder``.
        encoder: the encoder that looks at the crops; None for landmarks alone.
        refinement: how the trained decoder's motion is fitted to the picture; None: it is not.
        one_euro: smooth the estimate with this filter.
    """

    name: str
    decoder: Decoder
    settings: DecodeSettings = field(default_factory=DecodeSettings)
    encoder: EncoderChoice | None = None
    refinement: RefineSettings | None = None
    one_euro: OneEuroBody | None = None

    @property
    def learned(self) -> bool:
        """Whether it needs the weights of a motion decoder."""
        return self.decoder != "landmark_fit"


class Watched:
    """A clip in which people were found; estimates are kept, so that methods can share them.

    Args:
        tracks: the people.
        evidences: what was seen of each, by the encoder that looked (None: landmarks alone).
    """

    def __init__(
        self, tracks: Sequence[Track], evidences: dict[EncoderChoice | None, list[Evidence]]
    ) -> None:
        self.tracks = list(tracks)
        self.evidences = evidences
        self._estimates: dict[tuple[str, str], list[BodyEstimate]] = {}

    def estimates(
        self, method: Method, body: BodyModel, networks: MotionDecoder | None, progress: Progress
    ) -> list[BodyEstimate]:
        """Each person's body in the camera frame, as the decoder gives it.

        Raises:
            MissingModel: a learned method without weights.
        """
        settings = (method.settings, method.refinement) if method.learned else None
        key = (method.decoder, repr((settings, method.encoder)))
        if key not in self._estimates:
            self._estimates[key] = [
                _estimate(method, evidence, body, networks, progress)
                for evidence in self.evidences[method.encoder]
            ]
        return self._estimates[key]


def watch(
    clip_path: Path,
    out: Path,
    models: Models,
    progress: Progress,
    camera_fov: float | None = None,
    encoders: Sequence[EncoderChoice] = (),
) -> Watched:
    """Find the people of a clip, or take them from the job folder of an earlier run.

    Args:
        clip_path: the footage.
        out: folder of the job folder.
        models: what is loaded.
        progress: told; may cancel.
        camera_fov: horizontal field of view in degrees, where it is known.
        encoders: who else looks at the crops.

    Raises:
        NobodyFound, BadInput, MissingModel: as of the pipeline.
    """
    request = RecoverRequest(clip_path, out, camera_fov=camera_fov, decoder="landmark_fit")
    check(request)
    clip = identify(clip_path, None, None, progress)
    with Job(out / f"{clip.name}.job", clip.path, clip.sha256, {"camera_fov": camera_fov}, progress) as job:
        people = find_everyone(job, clip, None, None, models)
        tracks = choose(people, "all", clip)
        plain = gather_evidence(clip, people, tracks, camera_fov)
        evidences: dict[EncoderChoice | None, list[Evidence]] = {None: plain}
        for encoder in encoders:
            evidences[encoder] = encode_everyone(
                job, clip, people, tracks, plain, models.body("open"), encoder, models
            )
    return Watched(tracks, evidences)


def recover_by(
    method: Method,
    watched: Watched,
    body: BodyModel,
    networks: MotionDecoder | None = None,
    progress: Progress | None = None,
) -> list[Motion]:
    """The people's motions, in the order of the tracks.

    Args:
        method: how.
        watched: the clip.
        body: the open body.
        networks: the trained motion decoder, for methods that are learned.
        progress: may cancel.

    Raises:
        MissingModel: a learned method without weights.
    """
    progress = progress or Progress()
    evidences = watched.evidences[method.encoder]
    estimates = watched.estimates(method, body, networks, progress)
    if method.one_euro is not None:
        estimates = [
            smooth_estimate(estimate, evidence.timestamps, body, method.one_euro)
            for estimate, evidence in zip(estimates, evidences, strict=True)
        ]
    return place(estimates, evidences, body, {"method": method.name})


def field_of_view(intrinsics: np.ndarray, width: int) -> float:
    """Horizontal field of view of a camera, degrees."""
    return float(np.degrees(2 * np.arctan(width / 2 / intrinsics[0, 0])))


def _estimate(
    method: Method, evidence: Evidence, body: BodyModel, networks: MotionDecoder | None, progress: Progress
) -> BodyEstimate:
    if not method.learned:
        return fit_landmarks(evidence, body, progress)
    if networks is None:
        raise MissingModel(
            f"The method '{method.name}' needs the weights of a motion decoder. "
            "Give them with --decoder-weights (`fasthmr train decoder` makes them)."
        )
    decoded = decode(evidence, body, networks, progress, method.settings)
    if method.refinement is None:
        return decoded
    return refine(evidence, decoded, body, progress, method.refinement)
