# SPDX-License-Identifier: GPL-3.0-or-later
"""What the panel shows of jobs: how the running one is going, and how the last one ended."""

import bpy

from .jobs import Job, State
from .wrapped_text import write

_ICONS = {
    State.DONE: "CHECKMARK",
    State.CANCELLED: "INFO",
    State.FAILED: "ERROR",
    State.NOT_IMPORTED: "ERROR",
}


def draw_progress(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    """How far the running job is, with a button to cancel it."""
    if job.state is State.IMPORTING:  # its message says what it waits for
        write(layout, context, job.message, "INFO")
        layout.operator("recover_motion.cancel", text="Do Not Import", icon="X")
        return
    row = layout.row(align=True)
    row.scale_y = 1.6
    row.progress(factor=job.fraction, text=job.progress_text(), type="BAR")
    row.operator("recover_motion.cancel", text="", icon="X")


def draw_outcome(layout: bpy.types.UILayout, context: bpy.types.Context, job: Job) -> None:
    """How the last job ended, and what can be done with what there is."""
    went_wrong = job.state is State.DONE and job.exit_code != 0  # a check that found something
    icon = "ERROR" if went_wrong else _ICONS.get(job.state, "INFO")
    write(layout, context, job.message, icon)
    if job.state is State.FAILED and job.details:
        write(layout, context, job.details[-1])  # of a log, the end tells most
    elif job.state is State.DONE:
        for note in job.details:
            write(layout, context, note, "INFO")
    folder = job.result.get("folder")
    if job.method != "recover" or not folder:
        return
    row = layout.row()
    row.operator("wm.path_open", text="Open Folder", icon="FILE_FOLDER").filepath = str(folder)
    if job.state in (State.NOT_IMPORTED, State.CANCELLED):
        row.operator("recover_motion.import_result", icon="IMPORT")
