# SPDX-License-Identifier: Apache-2.0
"""Which decoder a job uses: the trained motion decoder where its weights are, or the landmark fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from fasthmr.errors import MissingModel
from fasthmr.models import Models
from fasthmr.progress import Progress
from fasthmr.request import RecoverRequest

if TYPE_CHECKING:
    from fasthmr.decoder.decode import DecodeSettings
    from fasthmr.decoder.motion_decoder import Estimator, MotionDecoder
    from fasthmr.decoder.refine import RefineSettings


@dataclass(frozen=True)
class ChosenDecoder:
    """The trained motion decoder, and how it is used.

    Attributes:
        networks: the loaded networks.
        settings: with the estimator named.
        refinement: how its motion is fitted to the picture; None: it is not.
    """

    networks: MotionDecoder
    settings: DecodeSettings
    refinement: RefineSettings | None = None

    def described(self) -> dict[str, Any]:
        """What a motion depends on and its file says: estimator, steps, seed, weights, whether refined."""
        settings = self.settings
        steps = {"steps": settings.steps, "seed": settings.seed} if settings.estimator == "diffusion" else {}
        refined = {"refined": self.refinement is not None}
        return {"name": settings.estimator, "sha256": self.networks.sha256, **steps, **refined}


def choose_decoder(request: RecoverRequest, models: Models, progress: Progress) -> ChosenDecoder | None:
    """The motion decoder for a request; None for the landmark fit.

    "auto" takes the estimator that measured better, and the landmark fit where no weights come along; the log
    says so.

    Args:
        request: a checked request.
        models: loads the weights, and keeps them.
        progress: is told of a fallback.

    Raises:
        MissingModel: an estimator was asked for by name, and there are no weights.
        BadInput: the weights are damaged, or of something else.
    """
    if request.decoder == "landmark_fit":
        return None
    networks = models.motion_decoder(request.decoder_weights)
    if networks is None:
        if request.decoder != "auto":
            raise MissingModel(
                "No weights of a motion decoder come along, so that the decoder "
                f"'{request.decoder}' cannot run. Give your own with --decoder-weights "
                "(`fasthmr train decoder` makes them), or use the decoder landmark_fit."
            )
        progress.log("No weights of a motion decoder come along: bodies are fitted to landmarks instead.")
        return None
    from fasthmr.decoder.decode import DecodeSettings
    from fasthmr.decoder.refine import RefineSettings

    name = networks.config.default if request.decoder == "auto" else request.decoder
    return ChosenDecoder(
        networks,
        DecodeSettings(estimator=cast("Estimator", name), steps=request.steps),
        RefineSettings() if request.refine else None,
    )
