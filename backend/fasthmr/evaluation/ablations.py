# SPDX-License-Identifier: Apache-2.0
"""What each part of the method gives: many variants over one look at the footage, and the document of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fasthmr.body import BodyModel
from fasthmr.decoder.decode import DecodeSettings
from fasthmr.decoder.evidence_features import CHANNELS
from fasthmr.decoder.motion_decoder import MotionDecoder
from fasthmr.decoder.refine import RefineSettings
from fasthmr.evaluation.methods import Method, recover_by, watch
from fasthmr.evaluation.one_euro import OneEuroBody
from fasthmr.evaluation.truth_table import (
    EXPLANATION,
    Result,
    by_method,
    encoders_of,
    number,
    one_figure,
)
from fasthmr.evaluation.without_truth import Consistency, measure
from fasthmr.models import Models
from fasthmr.progress import Progress
from fasthmr.request import EncoderChoice

_STEPS: Final = 4
_SAMPLES: Final = 4
#: How far an encoder's 192 tokens are merged in the variants.
_TOKENS: Final = (192, 128, 96)

#: Columns of the table without truth: name of the figure, title, digits.
_COLUMNS: Final = (
    ("coverage", "seen", 2),
    ("reprojection_share", "reproj. %", 2),
    ("reprojection_share_p95", "p95 %", 2),
    ("jitter", "Jitter 10 m/s³", 1),
    ("acceleration", "accel. m/s²", 2),
    ("foot_sliding_mm", "FS mm", 1),
    ("flips", "flips", 0),
)


@dataclass(frozen=True)
class Seen:
    """Figures of one method on one clip without truth, of the largest person.

    Attributes:
        method: its name.
        clip: its name.
        figures: the figures.
    """

    method: str
    clip: str
    figures: Consistency

    def to_json(self) -> dict[str, Any]:
        """One flat object."""
        figures = {name: None if value != value else value for name, value in self.figures.to_json().items()}
        return {"method": self.method, "clip": self.clip, **figures}


def baselines() -> list[Method]:
    """The methods that need no trained decoder."""
    return [
        Method("landmark_fit", "landmark_fit"),
        Method("landmark_fit + One-Euro", "landmark_fit", one_euro=OneEuroBody()),
    ]


def decoders(encoder: EncoderChoice | None = None) -> list[Method]:
    """Both estimators of the trained decoder, refined and not, and more steps and samples of one of them."""
    one = DecodeSettings(estimator="diffusion")
    fitted = RefineSettings()
    return [
        Method("regressor, refined", "regressor", DecodeSettings(estimator="regressor"), encoder, fitted),
        Method("diffusion, 1 step, refined", "diffusion", one, encoder, fitted),
        Method("regressor", "regressor", DecodeSettings(estimator="regressor"), encoder),
        Method("diffusion, 1 step", "diffusion", one, encoder),
        Method(f"diffusion, {_STEPS} steps", "diffusion", replace(one, steps=_STEPS), encoder),
        Method(f"diffusion, mean of {_SAMPLES}", "diffusion", replace(one, samples=_SAMPLES), encoder),
    ]


def variants(networks: MotionDecoder | None, encoder: EncoderChoice | None = None) -> list[Method]:
    """Every variant that can run.

    Args:
        networks: the trained decoder; without one only the baselines run.
        encoder: an encoder that sees the crops; it adds the variants in which it takes part.
    """
    methods = baselines()
    if encoder is not None:
        methods.append(Method("landmark_fit with encoder", "landmark_fit", encoder=encoder))
    if networks is None:
        return methods
    methods += decoders(encoder)
    default = networks.config.default
    usual = DecodeSettings(estimator=default)
    left_out = [channel for channel in CHANNELS if channel != "encoder" or encoder is not None]
    methods += [
        Method(f"{default} without {channel}", default, replace(usual, without=(channel,)), encoder)
        for channel in left_out
    ]
    methods.append(Method(f"{default}, overlap 0", default, replace(usual, overlap=0), encoder))
    if encoder is not None:
        methods += [
            Method(f"{default}, {tokens} tokens", default, usual, replace(encoder, tokens=tokens))
            for tokens in _TOKENS
            if tokens != encoder.tokens
        ]
    return methods


def chosen(methods: Sequence[Method]) -> list[Method]:
    """The methods that real clips are worth: baselines and whole decoders, nothing left out."""
    return [
        method
        for method in methods
        if not method.settings.without and method.settings.overlap == DecodeSettings().overlap
    ]


def see_clip(
    clip: Path,
    methods: Sequence[Method],
    work: Path,
    body: BodyModel,
    models: Models,
    networks: MotionDecoder | None,
    progress: Progress,
) -> list[Seen]:
    """Recover a real clip by every method, and measure its largest person without truth.

    Args:
        clip: the footage.
        methods: how to recover.
        work: where job folders lie.
        body: the open body.
        models: what is loaded.
        networks: the motion decoder, for methods that are learned.
        progress: told; may cancel.
    """
    watched = watch(clip, work, models, progress, None, encoders_of(methods))
    return [
        Seen(
            method.name,
            clip.stem,
            measure(recover_by(method, watched, body, networks, progress)[0], body, watched.tracks[0]),
        )
        for method in methods
    ]


def document(
    results: Sequence[Result], seen: Sequence[Seen], command: str, provenance: Mapping[str, str]
) -> str:
    """The Markdown document: means, then sequence by sequence, then the clips without truth.

    Args:
        results: on rendered clips.
        seen: on real clips; may be empty.
        command: that made it.
        provenance: what was measured, by name: weights, footage.
    """
    listed = "\n".join(f"- {name}: {value}" for name, value in provenance.items())
    parts = ["# Ablations", f"Made by `{command}`.", listed]
    count = len({result.sequence for result in results})
    parts += [
        f"## Rendered footage of held-out motion: means over {count} sequences",
        by_method(results),
        EXPLANATION,
    ]
    for figure, title in (("mpjpe", "MPJPE, mm"), ("pa_mpjpe", "PA-MPJPE, mm"), ("coverage", "Coverage, %")):
        parts += [f"### {title}", one_figure(results, figure)]
    if seen:
        parts += ["## Real footage, without truth: the largest person of each clip", _table(seen)]
        parts.append(
            "Reprojection: median distance of limb joints from the detector's landmarks, in percent of the "
            "person's height in the picture. It rewards following the detector's errors too."
        )
    return "\n\n".join(parts) + "\n"


def _table(seen: Sequence[Seen]) -> str:
    titles = ["clip", "method", *(title for _, title, _ in _COLUMNS)]
    lines = ["| " + " | ".join(titles) + " |", "|---|---|" + "---:|" * len(_COLUMNS)]
    for one in seen:
        cells = [number(float(getattr(one.figures, key)), digits) for key, _, digits in _COLUMNS]
        lines.append("| " + " | ".join([one.clip, one.method, *cells]) + " |")
    return "\n".join(lines)
