# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and filling the job form, `scene.recover_motion`: what it asks of the backend, and what is missing.

The form itself is declared in `properties`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from bpy.app.translations import pgettext_n as n_
from bpy.app.translations import pgettext_rpt as rpt_

from . import model_menus, settings
from .chosen_footage import chosen_footage, footage_path, problem_of_footage
from .footage_range import RangeProblem, chosen_span

if TYPE_CHECKING:
    from .properties import RECOVER_MOTION_PG_form as Form

_CLIP = ("footage", "start", "end", "frame_rate")
"""What `clip_of` may give."""

_PLACE_HOLDER = re.compile(r"[\s._-]*(%\d*d|#+|[*?]+).*$")


def footage_of(form: Form) -> Path | None:
    """The footage as an absolute path; None when none was chosen.

    A picture that was chosen stands for its sequence: it becomes a pattern, as the backend takes it.
    """
    return footage_path(form)


def out_of(form: Form) -> Path:
    """The output folder as an absolute path: the chosen one, or one beside the footage.

    Raises:
        ValueError: there is neither.
    """
    if form.out.strip():
        return Path(bpy.path.abspath(form.out))
    footage = footage_of(form)
    if footage is None:
        raise ValueError("there is no output folder without footage")
    return footage.parent / f"{clip_name(footage)}_motion"


def clip_name(footage: Path) -> str:
    """What a clip is called, as the backend does.

    A file without its ending, the folder of images, or a pattern without its place-holder: "shot_####.png" is
    "shot".
    """
    return footage.name if footage.is_dir() else _PLACE_HOLDER.sub("", footage.stem) or "clip"


def clip_of(form: Form) -> dict[str, object]:
    """The footage, its range in seconds and the rate of a sequence, as the worker's methods take them.

    Raises:
        RangeProblem: the range has nothing of the footage.
    """
    clip: dict[str, object] = {"footage": str(footage_of(form))}
    footage, span = chosen_footage(form), chosen_span(form)
    if span.start is not None:
        clip["start"] = span.start
    if span.end is not None:
        clip["end"] = span.end
    if footage is not None and footage.is_sequence:
        clip["frame_rate"] = round(footage.rate, 4)
    return clip


def start_frame_of(form: Form) -> int | None:
    """Scene frame at which the clip's first frame is to stand after the import; None to leave it to that."""
    try:
        return chosen_span(form).start_frame
    except RangeProblem:
        return None


def request_of(form: Form) -> dict[str, object]:
    """Parameters of the worker's `recover`; what was left open is left out."""
    persons = {"ALL": "all", "LARGEST": "largest", "CHOSEN": ",".join(map(str, chosen_people(form)))}
    request = clip_of(form) | {"out": str(out_of(form)), "person": persons[form.who]}
    if form.camera_fov > 0.0:
        request["camera_fov"] = round(math.degrees(form.camera_fov), 4)
    folder = settings.models_folder()
    if folder and (model := model_menus.find(form.model)):
        request |= {"model": model.kind, "checkpoint": str(folder / model.path)}
    if folder and (body := model_menus.find(form.body)):
        request["body"] = str(folder / body.path)
    return request


def problem_of(form: Form) -> str:
    """Why nothing can be asked with this form yet; empty when all is well."""
    if problem := problem_of_footage(form):
        return problem
    try:
        chosen_span(form)
    except RangeProblem as problem:
        return str(problem)
    if 0 < form.camera_fov < math.radians(1.0):
        return n_("No camera's field of view is below 1 degree: set it to 0 when it is unknown")
    for name in (form.model, form.body):
        if name and model_menus.find(name) is None:
            return rpt_(
                "Not in the models folder of the preferences: {}. Put it there or choose another"
            ).format(name)
    return ""


def list_people(form: Form, found: Iterable[Mapping[str, Any]], asked: Mapping[str, object]) -> None:
    """Fill the form's list with people that the worker found.

    Args:
        form: the form.
        found: the worker's people.
        asked: parameters of the worker's `people`. The form may have been changed since.
    """
    form.people.clear()
    form.people_clip = _key({name: value for name, value in asked.items() if name in _CLIP})
    for one in found:
        person = form.people.add()
        person.number = one["person"]
        person.name = f"Person {one['person']}"
        person.start, person.end, person.coverage = one["start"], one["end"], one["coverage"]
        person.thumbnail = one.get("thumbnail") or ""


def knows_people(form: Form) -> bool:
    """Whether the list is about the form's clip: people are numbered within one clip and range."""
    if not form.people:
        return False
    try:
        return form.people_clip == _key(clip_of(form))
    except RangeProblem:
        return False


def chosen_people(form: Form) -> list[int]:
    """Numbers of the people that are ticked in the list; none when it is about another clip."""
    return [person.number for person in form.people if person.chosen] if knows_people(form) else []


def _key(clip: Mapping[str, object]) -> str:
    return json.dumps(clip, sort_keys=True)
