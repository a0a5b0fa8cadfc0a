# SPDX-License-Identifier: Apache-2.0
"""Rendered clips recovered by one or more methods, and the tables of how far that is from the truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from fasthmr.body import BodyModel
from fasthmr.decoder.motion_decoder import MotionDecoder
from fasthmr.errors import BadInput, NobodyFound
from fasthmr.evaluation.against_truth import TruthFigures, compare, mean_of
from fasthmr.evaluation.ground_truth import GroundTruth
from fasthmr.evaluation.methods import Method, field_of_view, recover_by, watch
from fasthmr.models import Models
from fasthmr.progress import Progress
from fasthmr.request import EncoderChoice

#: Columns of the tables: name of the figure, title, digits.
COLUMNS: Final = (
    ("coverage", "coverage %", 1),
    ("mpjpe", "MPJPE mm", 1),
    ("pa_mpjpe", "PA-MPJPE mm", 1),
    ("mpjpe_limbs", "MPJPE limbs", 1),
    ("pa_mpjpe_limbs", "PA-MPJPE limbs", 1),
    ("pve", "PVE mm", 1),
    ("accel", "Accel m/s²", 2),
    ("jitter", "Jitter 10 m/s³", 1),
    ("jitter_ratio", "Jitter / true", 2),
    ("foot_sliding", "FS mm", 1),
    ("foot_sliding_truth", "true FS", 1),
    ("w_mpjpe100", "W-MPJPE100 mm", 0),
    ("wa_mpjpe100", "WA-MPJPE100 mm", 0),
    ("rte", "RTE %", 2),
)

#: What the figures are, for under a table.
EXPLANATION: Final = (
    "24 joints of the open body, hips laid onto one another; *limbs*: shoulders, elbows, wrists, hips, knees "
    "and ankles. The true field of view was given; nothing else of the camera. Frames in which nobody was "
    "recovered count in the coverage alone. FS: way of a standing sole in a thirtieth of a second. Means are "
    "over sequences; RTE leaves out sequences in which the person stays where they are."
)


@dataclass(frozen=True)
class Rendered:
    """A rendered clip with its truth.

    Attributes:
        name: of the sequence.
        video: the clip.
        truth: what it shows.
    """

    name: str
    video: Path
    truth: GroundTruth


@dataclass(frozen=True)
class Result:
    """Figures of one method on one sequence.

    Attributes:
        method: its name.
        sequence: its name.
        figures: the figures.
    """

    method: str
    sequence: str
    figures: TruthFigures

    def to_json(self) -> dict[str, Any]:
        """One flat object."""
        return {"method": self.method, "sequence": self.sequence, **self.figures.to_json()}


def rendered_clips(folder: Path) -> list[Rendered]:
    """Every ``.mp4`` of a folder that has a truth beside it, in the order of their names.

    Raises:
        BadInput: there is none, or a truth is damaged.
    """
    found = [
        Rendered(video.stem, video, GroundTruth.load(video.with_name(f"{video.stem}.truth.npz")))
        for video in sorted(folder.glob("*.mp4"))
        if video.with_name(f"{video.stem}.truth.npz").exists()
    ]
    if not found:
        raise BadInput(
            f"{folder} holds no rendered clips (<name>.mp4 with <name>.truth.npz). "
            "Make them with `fasthmr evaluate footage --mocap DIR --out DIR`."
        )
    return found


def evaluate_clip(
    clip: Rendered,
    methods: Sequence[Method],
    work: Path,
    body: BodyModel,
    models: Models,
    networks: MotionDecoder | None,
    progress: Progress,
) -> list[Result]:
    """Recover a rendered clip by every method, and measure.

    Args:
        clip: the clip.
        methods: how to recover.
        work: where job folders lie, for the stages that are kept.
        body: the open body.
        models: what is loaded.
        networks: the motion decoder, for methods that are learned.
        progress: told; may cancel.

    Returns:
        One result a method. A clip in which nobody is found has coverage 0.
    """
    fov = field_of_view(clip.truth.intrinsics, int(clip.truth.image_size[0]))
    try:
        watched = watch(clip.video, work, models, progress, fov, encoders_of(methods))
    except NobodyFound:
        nothing = compare([], clip.truth, body)
        return [Result(method.name, clip.name, nothing) for method in methods]
    return [
        Result(
            method.name,
            clip.name,
            compare(recover_by(method, watched, body, networks, progress), clip.truth, body),
        )
        for method in methods
    ]


def encoders_of(methods: Iterable[Method]) -> list[EncoderChoice]:
    """The encoders that methods ask for, each once."""
    return list(dict.fromkeys(method.encoder for method in methods if method.encoder is not None))


def by_sequence(results: Sequence[Result]) -> str:
    """A Markdown table of one method: a line a sequence, and the mean."""
    rows = {result.sequence: result.figures for result in results}
    return markdown("sequence", {**rows, "**mean**": mean_of(list(rows.values()))})


def by_method(results: Sequence[Result]) -> str:
    """A Markdown table of means over the sequences, a line a method."""
    return markdown(
        "method",
        {
            method: mean_of([result.figures for result in results if result.method == method])
            for method in dict.fromkeys(result.method for result in results)
        },
    )


def one_figure(results: Sequence[Result], figure: str, digits: int = 1) -> str:
    """A Markdown table of one figure: a line a sequence, a column a method."""
    methods = list(dict.fromkeys(result.method for result in results))
    found = {(result.sequence, result.method): getattr(result.figures, figure) for result in results}
    lines = [_line(["sequence", *methods]), "|---|" + "---:|" * len(methods)]
    for sequence in dict.fromkeys(result.sequence for result in results):
        lines.append(_line([sequence, *(number(found[sequence, method], digits) for method in methods)]))
    return "\n".join(lines)


def markdown(first: str, rows: Mapping[str, TruthFigures]) -> str:
    """A Markdown table of all columns.

    Args:
        first: title of the first column.
        rows: what stands in it, and the figures beside it.
    """
    lines = [_line([first, *(title for _, title, _ in COLUMNS)]), "|---|" + "---:|" * len(COLUMNS)]
    for name, figures in rows.items():
        lines.append(_line([name, *(number(getattr(figures, key), digits) for key, _, digits in COLUMNS)]))
    return "\n".join(lines)


def number(value: float, digits: int) -> str:
    """A number for a table; a dash where it means nothing."""
    return "-" if np.isnan(value) else f"{value:.{digits}f}"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
