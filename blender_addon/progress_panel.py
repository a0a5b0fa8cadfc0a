# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel shows of jobs: the running one, those that wait, and how the others ended."""

from pathlib import Path

import bpy
from bpy.app.translations import pgettext_iface as iface_

from . import live_view, session
from .job_form import clip_name
from .jobs import Job, State
from .wrapped_text import write

_ICONS = {
    State.DONE: "CHECKMARK",
    State.CANCELLED: "INFO",
    State.FAILED: "ERROR",
    State.NOT_IMPORTED: "ERROR",
    State.TO_IMPORT: "IMPORT",
    State.IMPORTING: "SORTTIME",
}

_PICTURE = 9.0
"""Height of the live picture, in rows."""

_INSET = 24
"""Pixels that a box takes from the width of a text."""

_MOST_SHOWN = 6


def draw_jobs(layout: bpy.types.UILayout, context: bpy.types.Context) -> None:
    """All that there is to say about jobs."""
    running = session.job if session.job is not None and session.job.with_worker else None
    if running is not None:
        draw_progress(layout, context, running)
    elif live_view.loaded():
        live_view.free()
    if session.waiting:
        _draw_queue(layout)
    for entry in session.ended[:_MOST_SHOWN]:
        draw_outcome(layout, context, entry.job)


def draw_progress(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    """How far the running job is, over all of its stages, with a button to cancel it."""
    box = layout.box()
    row = box.row()
    row.label(text=_title(job), translate=False, icon="RENDER_ANIMATION")
    row.operator("recover_motion.cancel", text="", icon="X", emboss=False)
    if icon := live_view.icon_of(job):
        box.template_icon(icon, scale=_PICTURE)
    column = box.column(align=True)
    left = job.time_text()
    text = f"{job.fraction:.0%}, {left}" if left else f"{job.fraction:.0%}"
    column.progress(factor=job.fraction, text=text, type="BAR")
    column.label(text=job.stage_text(), translate=False)


def draw_outcome(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    """How a job ended, and what can be done with what there is."""
    box = layout.box()
    went_wrong = job.state is State.DONE and job.exit_code != 0  # a check that found something
    icon = "ERROR" if went_wrong else _ICONS.get(job.state, "INFO")
    row = box.row()
    row.label(text=_title(job), translate=False)
    away = "recover_motion.cancel" if job.active else "recover_motion.dismiss"
    row.operator(away, text="", icon="X", emboss=False).name = job.id
    write(box, context, job.message, icon, _INSET)
    if job.state is State.FAILED and job.details:
        write(box, context, job.details[-1], inset=_INSET)  # of a log, the end tells most
    elif job.state is State.DONE:
        for note in job.details:
            write(box, context, note, "INFO", _INSET)
    folder = job.result.get("folder")
    if job.method != "recover" or not folder:
        return
    row = box.row()
    row.operator("wm.path_open", text="Open Folder", icon="FILE_FOLDER").filepath = str(folder)
    if session.find_result(job.id) is not None:
        row.operator("recover_motion.import_result", icon="IMPORT").name = job.id


def _draw_queue(layout: bpy.types.UILayout) -> None:
    """The jobs that wait, the next one first."""
    column = layout.box().column(align=True)
    column.label(text=iface_("Waiting: {:d}").format(len(session.waiting)), translate=False)
    for entry in session.waiting:
        row = column.row()
        row.label(text=_title(entry.job), translate=False, icon="SORTTIME")
        row.operator("recover_motion.cancel", text="", icon="X", emboss=False).name = entry.job.id


def _title(job: Job) -> str:
    """What a job is called: its clip, and what is done with it when that is not to recover its motion."""
    footage = job.params.get("footage")
    if not footage:
        return iface_("Check of the backend")
    name = clip_name(Path(str(footage)))
    return iface_("People in {}").format(name) if job.method == "people" else name
