# SPDX-License-Identifier: GPL-3.0-or-later
"""What the artist's buttons do.

The operators that ask the backend for something come in two manners: `invoke` (a button in a window) starts
the job and returns at once, `execute` (a script, `blender -b`) does the whole of it and returns when it is
done. What to recover is read from the scene's form, `scene.recover_motion`.
"""

import sys
import time
from pathlib import Path

import bpy
from bpy_extras.io_utils import ImportHelper

from . import job_form, session
from .arrival import MODES_TO_IMPORT_IN, Destination, in_words
from .backend_location import BackendProblem
from .import_motion import ImportProblem, import_motion
from .jobs import Job, State
from .take_choices import EXISTING, SHAPE, USE_NLA


class _Asking:
    """What the operators that send a job to the backend share."""

    def job(self, scene: bpy.types.Scene) -> Job:
        """The job to send (subclasses)."""
        raise NotImplementedError

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Start the job, or put it behind those that run, and return; the panel shows how it goes on."""
        first = self.bl_idname == RECOVER_MOTION_OT_find_people.bl_idname  # somebody waits for it to choose
        try:
            session.start(self.job(context.scene), Destination.of(context.scene), first=first)
        except BackendProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        return {"FINISHED"}

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Do the whole job; Blender waits."""
        job = self.job(context.scene)
        try:
            session.run(job, Destination.of(context.scene), tell=Teller())
        except BackendProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        if job.state in (State.DONE, State.TO_IMPORT):
            self.report({"INFO"}, job.message)
            return {"FINISHED"}
        self.report({"ERROR"}, "\n".join((job.message, *job.details)))
        return {"CANCELLED"}


class Teller:
    """Says on standard error how a blocking job is doing: each new stage, and then every few seconds."""

    def __init__(self, interval: float = 5.0) -> None:
        self._interval = interval
        self._said = ""
        self._next = 0.0

    def __call__(self, job: Job) -> None:
        """Say it, if there is something new to say."""
        what = job.stage if job.state is State.RUNNING else job.message
        now = time.monotonic()
        if not job.active or (what == self._said and now < self._next):  # how it ended, the caller says
            return
        self._said, self._next = what, now + self._interval
        sys.stderr.write(f"Recover Motion: {job.progress_text()}\n")
        sys.stderr.flush()


def _may_ask(cls: type[bpy.types.Operator], *, form: bpy.types.PropertyGroup | None) -> bool:
    """Whether a job for the form could be asked for now; when not, the button's tooltip says why."""
    if form is None and session.busy():  # the backend's check is of no use behind an hour of other work
        reason = "A job is running: wait for it or cancel it"
    else:
        reason = (job_form.problem_of(form) if form else "") or session.found_backend()[1]
    if reason:
        cls.poll_message_set(reason)
    return not reason


def _may_add_objects(cls: type[bpy.types.Operator], context: bpy.types.Context) -> bool:
    """Whether nothing else is being edited, whose own undo steps would lose the new objects."""
    if context.mode not in MODES_TO_IMPORT_IN:
        cls.poll_message_set("Go back to Object Mode to import")
        return False
    return True


class RECOVER_MOTION_OT_recover(_Asking, bpy.types.Operator):
    """Recover the motion of the people in the footage, and import it."""

    bl_description = "Recover the motion of the people in the footage, and import it"
    bl_idname = "recover_motion.recover"
    bl_label = "Recover Motion"
    bl_options = {"REGISTER"}  # noqa: RUF012 (Blender's own form); the import is an undo step of its own

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is footage, someone to recover, and a backend; behind another job it waits for its turn."""
        form = context.scene.recover_motion
        if form.who == "CHOSEN" and not job_form.chosen_people(form) and not job_form.problem_of(form):
            cls.poll_message_set("Find the people and tick at least one, or recover everyone")
            return False
        return _may_ask(cls, form=form)

    def job(self, scene: bpy.types.Scene) -> Job:
        """A `recover` for the form."""
        return Job("recover", job_form.request_of(scene.recover_motion), imports=True)


class RECOVER_MOTION_OT_find_people(_Asking, bpy.types.Operator):
    """Find the people in the footage, to choose among them."""

    bl_description = "Find the people in the footage, to choose among them"
    bl_idname = "recover_motion.find_people"
    bl_label = "Find People"
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is footage and a backend; behind another job it is the next one."""
        return _may_ask(cls, form=context.scene.recover_motion)

    def job(self, scene: bpy.types.Scene) -> Job:
        """A `people` for the form's clip."""
        form = scene.recover_motion
        return Job("people", job_form.clip_of(form) | {"out": str(job_form.out_of(form))})


class RECOVER_MOTION_OT_check_backend(_Asking, bpy.types.Operator):
    """Start the backend and ask it whether it has all that it needs."""

    bl_description = "Start the backend and ask it whether it has all that it needs"
    bl_idname = "recover_motion.check_backend"
    bl_label = "Check Backend"
    bl_options = {"REGISTER"}  # noqa: RUF012

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """There is a backend, and no other job."""
        return _may_ask(cls, form=None)

    def job(self, scene: bpy.types.Scene) -> Job:
        """A `doctor`."""
        return Job("doctor", {})


class RECOVER_MOTION_OT_cancel(bpy.types.Operator):
    """Cancel the running job, or one that waits; the stages that are finished are kept for the next time."""

    bl_description = (
        "Cancel the job; the stages that are finished are kept for the next time."
        " Escape does the same for the running job, with the mouse over this panel"
    )
    bl_idname = "recover_motion.cancel"
    bl_label = "Cancel"
    bl_options = {"REGISTER"}  # noqa: RUF012

    name: bpy.props.StringProperty(
        name="Job", description="Id of the job; empty for the running one", options={"HIDDEN", "SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A job is running and has not been cancelled yet, or one waits."""
        if session.can_cancel() or any(session.can_cancel(one.job.id) for one in session.all_entries()):
            return True
        cls.poll_message_set("No job is running")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Ask for it; the panel shows when it has happened."""
        session.cancel(self.name)
        return {"FINISHED"}


class RECOVER_MOTION_OT_dismiss(bpy.types.Operator):
    """Take an ended job out of the list; its files stay where they are."""

    bl_description = "Take this job out of the list; its files stay where they are"
    bl_idname = "recover_motion.dismiss"
    bl_label = "Dismiss"
    bl_options = {"REGISTER"}  # noqa: RUF012

    name: bpy.props.StringProperty(name="Job", description="Id of the job", options={"HIDDEN", "SKIP_SAVE"})

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Some job has ended."""
        if session.ended:
            return True
        cls.poll_message_set("No job has ended")
        return False

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Forget it."""
        session.dismiss(self.name)
        return {"FINISHED"}


class RECOVER_MOTION_OT_import_result(bpy.types.Operator):
    """Import the result of a finished job into this scene."""

    bl_description = "Import the result of this job into this scene"
    bl_idname = "recover_motion.import_result"
    bl_label = "Import Result"
    bl_options = {"REGISTER"}  # noqa: RUF012 (the import is an undo step of its own)

    name: bpy.props.StringProperty(
        name="Job", description="Id of the job; empty for the last one", options={"HIDDEN", "SKIP_SAVE"}
    )

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """A job has left motions that are not imported yet, and objects can be added."""
        if session.find_result() is None:
            cls.poll_message_set("There is no result to import")
            return False
        return _may_add_objects(cls, context)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import it."""
        if session.find_result(self.name) is None:
            self.report({"ERROR"}, "There is no result of this job to import.")
            return {"CANCELLED"}
        job = session.import_again(context.scene, self.name)
        if job.state is State.DONE:
            self.report({"INFO"}, job.message)
            return {"FINISHED"}
        self.report({"ERROR"}, "\n".join((job.message, *job.details)))
        return {"CANCELLED"}


class RECOVER_MOTION_OT_import_motion(bpy.types.Operator, ImportHelper):
    """Import recovered motion as rigged, keyframed bodies."""

    bl_description = "Import recovered motion as rigged, keyframed bodies"
    bl_idname = "recover_motion.import_motion"
    bl_label = "Import Motion"
    bl_options = {"REGISTER", "UNDO"}  # noqa: RUF012

    filename_ext = ".npz"
    filter_glob: bpy.props.StringProperty(default="*.npz", options={"HIDDEN"})
    files: bpy.props.CollectionProperty(
        type=bpy.types.OperatorFileListElement, options={"HIDDEN", "SKIP_SAVE"}
    )
    directory: bpy.props.StringProperty(subtype="DIR_PATH", options={"HIDDEN", "SKIP_SAVE"})
    footage: bpy.props.StringProperty(
        name="Footage",
        description="The footage that the motion was recovered from, for the camera's background",
        options={"SKIP_SAVE"},
    )
    body: bpy.props.StringProperty(
        name="Body",
        description=(
            "Body file of the motion. When empty, the open body, or the body file beside the motion when it"
            " was made with another"
        ),
        options={"SKIP_SAVE"},
    )
    use_start_frame: bpy.props.BoolProperty(
        name="Set Start Frame",
        description="Place the clip's first frame at a frame of your own instead of the scene's first",
        options={"SKIP_SAVE"},
    )
    start_frame: bpy.props.IntProperty(
        name="Start Frame", description="Scene frame of the clip's first frame", default=1
    )
    use_camera: bpy.props.BoolProperty(
        name="Camera", description="Also make the camera that fits the motion", default=True
    )
    set_render_size: bpy.props.BoolProperty(
        name="Footage Resolution", description="Set the scene's resolution to the footage's"
    )
    shape: SHAPE
    existing: EXISTING
    use_nla: USE_NLA

    @classmethod
    def poll(cls, context: bpy.types.Context) -> bool:
        """Objects can be added."""
        return _may_add_objects(cls, context)

    def invoke(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        """Files dropped on the window or given by a button are imported at once; else ask for them."""
        if self.files or self.properties.is_property_set("filepath"):
            return self.execute(context)
        return ImportHelper.invoke(self, context, event)

    def execute(self, context: bpy.types.Context) -> set[str]:
        """Import all files, as one undo step."""
        try:
            imported = import_motion(
                context,
                self._paths(),
                footage=Path(bpy.path.abspath(self.footage)) if self.footage else None,
                body_path=Path(bpy.path.abspath(self.body)) if self.body else None,
                start_frame=self.start_frame if self.use_start_frame else None,
                use_camera=self.use_camera,
                set_render_size=self.set_render_size,
                existing=self.existing,
                use_nla=self.use_nla,
                average_body=self.shape == "AVERAGE",
            )
        except ImportProblem as problem:
            self.report({"ERROR"}, str(problem))
            return {"CANCELLED"}
        for note in imported.notes:
            self.report({"WARNING"}, note)
        for change in imported.changes:
            self.report({"INFO"}, change)
        self.report({"INFO"}, f"Imported {in_words(imported)}")
        return {"FINISHED"}

    def draw(self, context: bpy.types.Context) -> None:
        """The options, in the file browser and in the redo panel."""
        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        row = layout.row(heading="Start Frame")
        row.prop(self, "use_start_frame", text="")
        value = row.row()
        value.active = self.use_start_frame
        value.prop(self, "start_frame", text="")
        layout.prop(self, "footage")
        layout.prop(self, "body")
        column = layout.column(heading="Camera")
        column.prop(self, "use_camera", text="Make the Camera")
        column.prop(self, "set_render_size")
        layout.prop(self, "shape")
        layout.prop(self, "existing")
        layout.prop(self, "use_nla")

    def _paths(self) -> list[Path]:
        """The chosen files; a script may give `filepath` alone."""
        if self.files:
            folder = Path(bpy.path.abspath(self.directory))
            return [folder / file.name for file in self.files if file.name]
        return [Path(bpy.path.abspath(self.filepath))]


class RECOVER_MOTION_FH_motion(bpy.types.FileHandler):
    """Motion files dropped on a 3D view are imported."""

    bl_idname = "RECOVER_MOTION_FH_motion"
    bl_label = "Recovered Motion"
    bl_import_operator = "recover_motion.import_motion"
    bl_file_extensions = ".npz"

    @classmethod
    def poll_drop(cls, context: bpy.types.Context) -> bool:
        """In a 3D view."""
        return context.area is not None and context.area.type == "VIEW_3D"


_CLASSES = (
    RECOVER_MOTION_OT_recover,
    RECOVER_MOTION_OT_find_people,
    RECOVER_MOTION_OT_check_backend,
    RECOVER_MOTION_OT_cancel,
    RECOVER_MOTION_OT_dismiss,
    RECOVER_MOTION_OT_import_result,
    RECOVER_MOTION_OT_import_motion,
    RECOVER_MOTION_FH_motion,
)


def _menu(self: bpy.types.Menu, context: bpy.types.Context) -> None:
    self.layout.operator("recover_motion.import_motion", text="Recovered Motion (.npz)")


def register() -> None:
    """Register the operators and their entry in the File menu."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.TOPBAR_MT_file_import.append(_menu)


def unregister() -> None:
    """Unregister them and take the entry out."""
    bpy.types.TOPBAR_MT_file_import.remove(_menu)
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
