# SPDX-License-Identifier: Apache-2.0
"""Lay a decoded motion onto the picture.

The motion decoder knows how people move, and errs by some centimetres in where the picture plainly shows a
limb to be. The landmark fit (:mod:`fasthmr.decoder.landmark_fit`) knows the picture, and guesses what it does
not show. So the fit starts from the decoded motion and is pulled towards it, as towards an encoder's
rotations; the detector's landmarks in space, which the decoder has read already, count less than alone.
Other methods do the same with an optimiser after a regressor (SPIN, Kolotouros et al., ICCV 2019).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from fasthmr.body import BodyModel
from fasthmr.decoder.landmark_fit import fit_landmarks
from fasthmr.decoder.landmark_fit.fit import FitSettings
from fasthmr.decoder.landmark_fit.objective import Deviations
from fasthmr.evidence import BodyEstimate, Evidence
from fasthmr.progress import Progress


@dataclass(frozen=True)
class RefineSettings:
    """How far the picture may move a decoded motion.

    Attributes:
        fit: of the landmark fit; ``rotation`` is how far the decoder's rotations are off.
        least_belief: a joint of which the decoder is not sure is believed by so much all the same; nothing
            else is known of it.
    """

    fit: FitSettings = field(
        default_factory=lambda: FitSettings(
            deviations=Deviations(
                image=0.009, world=0.1, world_depth=0.3, joint_acceleration=2.0, rotation=0.15, shape=1.5
            )
        )
    )
    least_belief: float = 0.3


def refine(
    evidence: Evidence,
    decoded: BodyEstimate,
    body: BodyModel,
    progress: Progress | None = None,
    settings: RefineSettings | None = None,
) -> BodyEstimate:
    """Fit a decoded motion to its landmarks.

    Args:
        evidence: T frames, the same that were decoded; an encoder's part of it is not read again.
        decoded: what :func:`fasthmr.decoder.decode.decode` made of it.
        body: wears both.
        progress: told as stage "fit"; may cancel.
        settings: defaults are those of the product.

    Returns:
        The body in the camera frame. Confidence, contacts and gravity stay those of the decoder.

    Raises:
        Cancelled: the user cancelled.
        ValueError: evidence and motion are not equally long.
    """
    settings = settings or RefineSettings()
    if evidence.frame_count != len(decoded.rotations):
        raise ValueError(f"{evidence.frame_count} frames of evidence for {len(decoded.rotations)} of motion")
    count = evidence.frame_count
    prior = replace(
        evidence,
        rotations=decoded.rotations,
        joints=decoded.joints - decoded.joints[:, :1],
        betas=np.repeat(decoded.betas[None], count, axis=0),
        joint_confidence=np.maximum(decoded.confidence, settings.least_belief).astype(np.float32),
        token=None,
    )
    fitted = fit_landmarks(prior, body, progress, settings.fit)
    return replace(fitted, confidence=decoded.confidence, up=decoded.up, contacts=decoded.contacts)
