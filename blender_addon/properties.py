# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on keeps in Blender's data: the job form on the scene, the running job on the window manager.

The form is saved with the file. The running job is not: its properties only read the session's state, so that
scripts and other add-ons can follow it.
"""

import math
from pathlib import Path

import bpy

from . import session


def _forget_people(form: "RECOVER_MOTION_PG_form", context: bpy.types.Context) -> None:
    """Persons are numbered within one clip and range: another one makes the list meaningless."""
    form.people.clear()


class RECOVER_MOTION_PG_person(bpy.types.PropertyGroup):
    """A person that was found in the footage."""

    number: bpy.props.IntProperty(name="Number", description="Number in the clip; 1 is the largest")
    chosen: bpy.props.BoolProperty(name="Recover", description="Recover this person's motion", default=True)
    start: bpy.props.FloatProperty(name="Start", description="First seen, in seconds of the clip")
    end: bpy.props.FloatProperty(name="End", description="Last seen, in seconds of the clip")
    coverage: bpy.props.FloatProperty(name="Coverage", description="Share of the clip with this person")


class RECOVER_MOTION_PG_form(bpy.types.PropertyGroup):
    """What to recover, and how to bring it into the scene."""

    footage: bpy.props.StringProperty(
        name="Footage",
        description="Video file, image of a sequence, or folder of images, with the people to recover",
        subtype="FILE_PATH",
        update=_forget_people,
    )
    out: bpy.props.StringProperty(
        name="Output",
        description="Folder for the motion files. When empty, one beside the footage, named after the clip",
        subtype="DIR_PATH",
    )
    who: bpy.props.EnumProperty(
        name="People",
        description="Whose motion to recover",
        items=(
            ("ALL", "Everyone", "Recover everyone who is in the footage long enough"),
            ("LARGEST", "Main Person", "Recover the person who is largest in the picture for longest"),
            ("CHOSEN", "Choose", "Find the people first, then tick those to recover"),
        ),
    )
    people: bpy.props.CollectionProperty(type=RECOVER_MOTION_PG_person)
    people_index: bpy.props.IntProperty(name="Person", options={"HIDDEN"})
    use_range: bpy.props.BoolProperty(
        name="Part of the Clip", description="Recover a part of the clip only", update=_forget_people
    )
    start: bpy.props.FloatProperty(
        name="Start",
        description="Where to start, in seconds of the clip",
        subtype="TIME_ABSOLUTE",
        min=0.0,
        update=_forget_people,
    )
    end: bpy.props.FloatProperty(
        name="End",
        description="Where to end, in seconds of the clip; 0 is the clip's own end",
        subtype="TIME_ABSOLUTE",
        min=0.0,
        update=_forget_people,
    )
    camera_fov: bpy.props.FloatProperty(
        name="Field of View",
        description=(
            "The filming camera's horizontal field of view. 0 when unknown: it is then read from the file, or"
            " a usual lens is assumed"
        ),
        subtype="ANGLE",
        min=0.0,
        max=math.radians(170.0),
    )
    use_camera: bpy.props.BoolProperty(
        name="Camera with Footage",
        description="Also make the camera that fits the motion, with the footage as its background",
        default=True,
    )
    set_render_size: bpy.props.BoolProperty(
        name="Use Footage Resolution", description="Set the scene's resolution to the footage's"
    )

    def footage_path(self) -> Path | None:
        """The footage as an absolute path; None when none was chosen."""
        return Path(bpy.path.abspath(self.footage)) if self.footage.strip() else None

    def out_path(self) -> Path:
        """The output folder as an absolute path: the chosen one, or one beside the footage."""
        if self.out.strip():
            return Path(bpy.path.abspath(self.out))
        footage = self.footage_path()
        if footage is None:
            raise ValueError("there is no output folder without footage")
        name = footage.name if footage.is_dir() else footage.stem
        return footage.parent / f"{name}_motion"

    def request(self) -> dict[str, object]:
        """Parameters of the worker's `recover`; what was left open is left out."""
        persons = {"ALL": "all", "LARGEST": "largest", "CHOSEN": ",".join(map(str, self.chosen()))}
        request = self.clip() | {"out": str(self.out_path()), "person": persons[self.who]}
        if self.camera_fov > 0.0:
            request["camera_fov"] = round(math.degrees(self.camera_fov), 4)
        return request

    def clip(self) -> dict[str, object]:
        """The footage and its range, as the worker's methods take them."""
        clip: dict[str, object] = {"footage": str(self.footage_path())}
        if self.use_range:
            clip["start"] = round(self.start, 4)
            if self.end > 0.0:
                clip["end"] = round(self.end, 4)
        return clip

    def chosen(self) -> list[int]:
        """Numbers of the people that are ticked in the list."""
        return [person.number for person in self.people if person.chosen]

    def problem(self) -> str:
        """Why nothing can be asked with this form yet; empty when all is well."""
        footage = self.footage_path()
        if footage is None:
            return "Choose the footage first"
        if not any(sign in footage.name for sign in "%#*?") and not footage.exists():
            return f"The footage is not there: {footage}"
        if self.use_range and 0.0 < self.end <= self.start:
            return "The range ends before it starts"
        return ""


class RECOVER_MOTION_PG_job(bpy.types.PropertyGroup):
    """The running or last job, for reading only; nothing of it is stored."""

    state: bpy.props.StringProperty(
        name="State",
        description="Where the job is; empty when there was none",
        get=lambda self: str(session.job.state) if session.job else "",
    )
    progress: bpy.props.FloatProperty(
        name="Progress",
        description="How much of the present stage is done",
        get=lambda self: session.job.fraction if session.job else 0.0,
    )
    message: bpy.props.StringProperty(
        name="Message",
        description="The last thing that happened",
        get=lambda self: session.job.progress_text() if session.job else "",
    )


_CLASSES = (RECOVER_MOTION_PG_person, RECOVER_MOTION_PG_form, RECOVER_MOTION_PG_job)


def register() -> None:
    """Register the property groups and attach them."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.recover_motion = bpy.props.PointerProperty(type=RECOVER_MOTION_PG_form)
    bpy.types.WindowManager.recover_motion = bpy.props.PointerProperty(type=RECOVER_MOTION_PG_job)


def unregister() -> None:
    """Detach the property groups and unregister them."""
    del bpy.types.WindowManager.recover_motion
    del bpy.types.Scene.recover_motion
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
