# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in Blender when a job has its result: the motion is imported, the people are listed.

A job can outlast the scene that it was started from (another file may be opened meanwhile), so the scene is
remembered by its number in this session of Blender and looked up again.
"""

import traceback
from dataclasses import dataclass
from pathlib import Path

import bpy

from .jobs import Job

# in these modes the undo system keeps the edited data alone, and new objects would get lost between its steps
MODES_WITH_OWN_UNDO = ("EDIT", "SCULPT", "PAINT", "PARTICLE")
_DRAGGING = ("TRANSFORM_OT_", "VIEW3D_OT_", "ARMATURE_OT_", "POSE_OT_", "MESH_OT_")


@dataclass(frozen=True)
class Destination:
    """Where a result goes, and how.

    Attributes:
        scene: `session_uid` of the scene that the job was started from.
        footage: the footage, for the camera's background.
        use_camera: make the matching camera.
        set_render_size: set the scene's resolution to the footage's.
    """

    scene: int
    footage: Path
    use_camera: bool = True
    set_render_size: bool = False

    @classmethod
    def of(cls, scene: bpy.types.Scene) -> "Destination":
        """The destination that a scene's form describes."""
        form = scene.recover_motion
        return cls(scene.session_uid, form.footage_path(), form.use_camera, form.set_render_size)

    def find_scene(self) -> bpy.types.Scene | None:
        """The scene, if it is still there."""
        return next((scene for scene in bpy.data.scenes if scene.session_uid == self.scene), None)


def reason_to_wait(destination: Destination) -> str:
    """Why a result should not be imported at this moment; empty when it can be.

    Only a window has such reasons: the user may be in Edit Mode, or in the middle of a drag.
    """
    window = _window_of(destination.find_scene())
    if window is None:
        return ""
    with bpy.context.temp_override(window=window):
        mode = bpy.context.mode
    if any(word in mode for word in MODES_WITH_OWN_UNDO):
        return "Recovered. Go back to Object Mode to import the result."
    if any(operator.bl_idname.startswith(_DRAGGING) for operator in window.modal_operators):
        return "Recovered. Importing as soon as you are done."
    return ""


def import_result(job: Job, destination: Destination) -> None:
    """Import the motions of a finished `recover` into its scene, as one undo step, and end the job."""
    from .import_motion import import_motion
    from .motion_file import ImportProblem

    scene = destination.find_scene()
    if scene is None:
        folder = job.result.get("folder")
        job.import_failed(f"Its scene is no longer open. The motion files are in {folder}.")
        return
    body = job.result.get("body")
    window = _window_of(scene)
    place = {"window": window} if window else {"scene": scene, "view_layer": scene.view_layers[0]}
    with bpy.context.temp_override(**place):
        try:
            imported = import_motion(
                bpy.context,
                [Path(path) for path in job.result.get("motions", ())],
                footage=destination.footage,
                body_path=Path(body) if body else None,
                use_camera=destination.use_camera,
                set_render_size=destination.set_render_size,
            )
        except ImportProblem as problem:
            job.import_failed(f"Recovered, but not imported: {problem}")
            return
        except Exception as error:  # noqa: BLE001 (a bug in the import must not cost the recovered motion)
            job.details = tuple(traceback.format_exc().splitlines()[-10:])
            job.import_failed(f"Recovered, but the import failed: {error!r}", exit_code=1)
            return
        if not bpy.app.background:
            bpy.ops.ed.undo_push(message="Recover Motion")
    count = len(imported.armatures)
    job.imported("One person recovered." if count == 1 else f"{count} people recovered.")


def list_people(job: Job, destination: Destination) -> None:
    """Fill the form's list with the people that were found."""
    scene = destination.find_scene()
    if scene is None or scene.recover_motion.footage_path() != destination.footage:
        return
    form = scene.recover_motion
    form.people.clear()
    for found in job.result.get("people", ()):
        person = form.people.add()
        person.number = found["person"]
        person.name = f"Person {found['person']}"
        person.start = found["start"]
        person.end = found["end"]
        person.coverage = found["coverage"]
    count = len(form.people)
    job.message = "Found one person." if count == 1 else f"Found {count} people."


def _window_of(scene: bpy.types.Scene | None) -> bpy.types.Window | None:
    """A window that shows the scene."""
    windows = bpy.context.window_manager.windows
    return next((window for window in windows if scene is not None and window.scene == scene), None)
