# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in Blender when a job has its result: the motion is imported, the people are listed.

A job can outlast the scene that it was started from (another file may be opened meanwhile), so the scene is
remembered by its number in this session of Blender and looked up again.
"""

import traceback
from dataclasses import dataclass, field
from pathlib import Path

import bpy

from . import job_form
from .cleaning_on_arrival import CleaningWishes, clean_imported
from .import_motion import ImportProblem, ImportResult, import_motion
from .jobs import Job
from .resample import scene_rate
from .takes import Existing

# in other modes the undo system keeps the edited data alone, and new objects would get lost between its steps
MODES_TO_IMPORT_IN = ("OBJECT", "POSE")
_DRAGGING = ("TRANSFORM_OT_", "VIEW3D_OT_", "ARMATURE_OT_", "POSE_OT_", "MESH_OT_")


@dataclass(frozen=True)
class Destination:
    """Where a result goes, and how.

    Attributes:
        scene: `session_uid` of the scene that the job was started from.
        footage: the footage, for the camera's background.
        use_camera: make the matching camera.
        set_render_size: set the scene's resolution to the footage's.
        existing: what to do with people who are in the scene already; see `import_motion`.
        use_nla: put the motion into NLA strips.
        start_frame: scene frame of the clip's first frame; None for the scene's start at that time.
        average_body: give everyone the average body.
        cleaning: what to do right after the import.
        automatic: import as soon as the motion is there, instead of waiting for a click.
    """

    scene: int
    footage: Path
    use_camera: bool = True
    set_render_size: bool = False
    existing: Existing = "NEW"
    use_nla: bool = False
    start_frame: int | None = None
    average_body: bool = False
    cleaning: CleaningWishes = field(default_factory=CleaningWishes)
    automatic: bool = True

    @classmethod
    def of(cls, scene: bpy.types.Scene) -> "Destination | None":
        """The destination that a scene's form describes; None as long as it names no footage."""
        form = scene.recover_motion
        footage = job_form.footage_of(form)
        return footage and cls(
            scene.session_uid,
            footage,
            form.use_camera,
            form.set_render_size,
            form.existing,
            form.use_nla,
            job_form.start_frame_of(form),
            form.shape == "AVERAGE",
            CleaningWishes(form.smooth, form.feet == "PLANTED", form.floor == "SOLES"),
            form.when_done == "IMPORT",
        )

    def find_scene(self) -> bpy.types.Scene | None:
        """The scene, if it is still there."""
        return next((scene for scene in bpy.data.scenes if scene.session_uid == self.scene), None)


def reason_to_wait(destination: Destination) -> str:
    """Why a result should not be imported at this moment; empty when it can be.

    The user may be in Edit Mode, in the middle of a drag, or in another scene: Blender can make a rig only
    in a scene that a window shows.
    """
    scene = destination.find_scene()
    if scene is None:
        return ""
    window = _window_of(scene)
    if window is None:
        return f'Recovered. Go to the scene "{scene.name}" to import the result.'
    with bpy.context.temp_override(window=window):
        mode = bpy.context.mode
    if mode not in MODES_TO_IMPORT_IN:
        return "Recovered. Go back to Object Mode to import the result."
    if any(operator.bl_idname.startswith(_DRAGGING) for operator in window.modal_operators):
        return "Recovered. Importing as soon as you are done."
    return ""


def import_result(job: Job, destination: Destination) -> None:
    """Import the motions of a finished `recover`, clean them as asked, and end the job: one undo step."""
    scene = destination.find_scene()
    window = _window_of(scene)
    if scene is None or (window is None and scene != bpy.context.scene):
        folder = job.result.get("folder")
        job.import_failed(
            "Recovered, but its scene is no longer open. Import Result brings it into the one that is open"
            f" now; the motion files are in {folder}."
        )
        return
    body = job.result.get("body")
    place = {"window": window} if window else {}  # a timer has none, and undo needs one
    with bpy.context.temp_override(**place):
        try:
            imported = import_motion(
                bpy.context,
                [Path(path) for path in job.result.get("motions", ())],
                footage=destination.footage,
                body_path=Path(body) if body else None,
                use_camera=destination.use_camera,
                set_render_size=destination.set_render_size,
                existing=destination.existing,
                use_nla=destination.use_nla,
                start_frame=destination.start_frame,
                average_body=destination.average_body,
            )
            cleaned = clean_imported(imported.armatures, destination.cleaning, scene_rate(scene))
        except ImportProblem as problem:
            job.import_failed(f"Recovered, but not imported: {problem}")
            return
        except Exception as error:  # noqa: BLE001 (a bug in the import must not cost the recovered motion)
            job.details = tuple(traceback.format_exc().splitlines()[-10:])
            job.import_failed(f"Recovered, but the import failed: {error!r}", exit_code=1)
            return
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message="Recover Motion")
    job.imported(f"Recovered {in_words(imported)}", imported.notes + imported.changes + cleaned)


def in_words(imported: ImportResult) -> str:
    """What was imported, for a message: "2 people, frames 1 to 185."."""
    count = len(imported.armatures)
    first, last = imported.frame_range
    return f"{'one person' if count == 1 else f'{count} people'}, frames {first} to {last}."


def list_people(job: Job, destination: Destination) -> None:
    """Fill the form's list with the people that were found."""
    scene = destination.find_scene()
    if scene is None or job_form.footage_of(scene.recover_motion) != destination.footage:
        return
    found = job.result.get("people", ())
    job_form.list_people(scene.recover_motion, found, job.params)
    count = len(found)
    job.message = "Found one person." if count == 1 else f"Found {count} people."


def _window_of(scene: bpy.types.Scene | None) -> bpy.types.Window | None:
    """A window that shows the scene."""
    windows = bpy.context.window_manager.windows
    return next((window for window in windows if scene is not None and window.scene == scene), None)
