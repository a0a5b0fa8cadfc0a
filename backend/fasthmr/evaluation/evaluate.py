# SPDX-License-Identifier: Apache-2.0
"""Figures of finished jobs: each person's motion against what was seen of that person."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fasthmr.body import load_body
from fasthmr.errors import BadInput
from fasthmr.evaluation.without_truth import measure
from fasthmr.motion import Motion
from fasthmr.people import People

# Columns of the table: key, title, digits.
_COLUMNS: Final = (
    ("frames", "frames", 0),
    ("coverage", "coverage", 2),
    ("reprojection_px", "reproj. px", 1),
    ("reprojection_share", "reproj. %", 2),
    ("reprojection_share_p95", "p95 %", 2),
    ("jitter", "jitter 10m/s3", 1),
    ("acceleration", "accel. m/s2", 2),
    ("foot_sliding_mm", "sliding mm", 1),
    ("bone_length_spread", "bones %", 3),
    ("flips", "flips", 0),
    ("explosions", "explosions", 0),
)


def evaluate_job(folder: Path) -> list[dict[str, Any]]:
    """Measure every motion of a finished job.

    Args:
        folder: the job folder (``<clip>.job``), with its motion files beside it.

    Returns:
        A person each: ``clip``, ``person`` and the figures of
        :class:`fasthmr.evaluation.without_truth.Consistency`.

    Raises:
        BadInput: the folder holds no finished job, or one of its files is damaged.
    """
    result = _result(folder)
    people = People.load(folder / "people.npz")
    body_name = result["body"]
    body = load_body(folder.parent / body_name if body_name else "open")
    rows = []
    for name in result["motions"]:
        person = re.search(r"\.person(\d+)\.npz$", name)
        if person is None:
            raise BadInput(f"{folder / 'result.json'} names a file that is no motion: {name}.")
        motion = Motion.load(folder.parent / name)
        figures = measure(motion, body, people.track(int(person[1])))
        rows.append({"clip": folder.name.removesuffix(".job"), "person": int(person[1]), **figures.to_json()})
    return rows


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The figures as a Markdown table, one line a person."""
    lines = [
        "| clip | person | " + " | ".join(title for _, title, _ in _COLUMNS) + " |",
        "|---|---|" + "---:|" * len(_COLUMNS),
    ]
    for row in rows:
        cells = [f"{row[key]:.{digits}f}" for key, _, digits in _COLUMNS]
        lines.append(f"| {row['clip']} | {row['person']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _result(folder: Path) -> dict[str, Any]:
    path = folder / "result.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadInput(
            f"{folder} holds no finished job. Name a folder that ends in .job; `fasthmr recover` makes it."
        ) from error
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read ({error}). Run the job again.") from error
