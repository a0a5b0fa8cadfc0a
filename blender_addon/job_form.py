# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading and filling the job form, `scene.recover_motion`: what it asks of the backend, and what is missing.

The form itself is declared in `properties`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from . import model_menus, settings

if TYPE_CHECKING:
    from .properties import RECOVER_MOTION_PG_form as Form


def footage_of(form: Form) -> Path | None:
    """The footage as an absolute path; None when none was chosen."""
    return Path(bpy.path.abspath(form.footage)) if form.footage.strip() else None


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
    """What a clip is called: the file without its ending, or the folder of an image sequence."""
    return footage.name if footage.is_dir() else footage.stem


def clip_of(form: Form) -> dict[str, object]:
    """The footage and its range in seconds, as the worker's methods take them."""
    clip: dict[str, object] = {"footage": str(footage_of(form))}
    if form.use_range:
        clip["start"] = round(form.start, 4)
        if form.end > 0.0:
            clip["end"] = round(form.end, 4)
    return clip


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
    footage = footage_of(form)
    if footage is None:
        return "Choose the footage first"
    is_pattern = any(sign in footage.name for sign in "%#*?")  # the backend knows those better
    if not is_pattern and not footage.exists():
        return f"The footage is not there: {footage}"
    if form.use_range and 0.0 < form.end <= form.start:
        return "The range ends before it starts"
    for name in (form.model, form.body):
        if name and model_menus.find(name) is None:
            return f"Not in the models folder of the preferences: {name}. Put it there or choose another"
    return ""


def list_people(form: Form, found: Iterable[Mapping[str, Any]]) -> None:
    """Fill the form's list with the people that the worker found in its clip."""
    form.people.clear()
    form.people_clip = json.dumps(clip_of(form))
    for one in found:
        person = form.people.add()
        person.number = one["person"]
        person.name = f"Person {one['person']}"
        person.start, person.end, person.coverage = one["start"], one["end"], one["coverage"]


def knows_people(form: Form) -> bool:
    """Whether the list is about the form's clip: people are numbered within one clip and range."""
    return len(form.people) > 0 and form.people_clip == json.dumps(clip_of(form))


def chosen_people(form: Form) -> list[int]:
    """Numbers of the people that are ticked in the list; none when it is about another clip."""
    return [person.number for person in form.people if person.chosen] if knows_people(form) else []
