# SPDX-License-Identifier: GPL-3.0-or-later
"""What the add-on keeps in Blender's data: the job form on the scene, the running job on the window manager.

The form is saved with the file. The running job is not: it is no data of Blender's, just an attribute for
scripts and other add-ons to follow it by.

The groups have neither methods nor callbacks: Blender 4.2 keeps those for ever, and as a Python module it
then crashes when Python ends. `job_form` reads and fills the form.
"""

import math

import bpy

from . import session
from .compat import RELATIVE_PATH
from .jobs import Job
from .take_choices import EXISTING, USE_NLA


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
        options=RELATIVE_PATH,
    )
    out: bpy.props.StringProperty(
        name="Output",
        description="Folder for the motion files. When empty, one beside the footage, named after the clip",
        subtype="DIR_PATH",
        options=RELATIVE_PATH,
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
    people_clip: bpy.props.StringProperty(
        name="People's Clip", description="The clip that the people were found in", options={"HIDDEN"}
    )
    people_index: bpy.props.IntProperty(name="Person", options={"HIDDEN"})
    use_range: bpy.props.BoolProperty(name="Part of the Clip", description="Recover a part of the clip only")
    start: bpy.props.FloatProperty(
        name="Start",
        description="Where to start, in seconds of the clip",
        subtype="TIME_ABSOLUTE",
        min=0.0,
    )
    end: bpy.props.FloatProperty(
        name="End",
        description="Where to end, in seconds of the clip; 0 is the clip's own end",
        subtype="TIME_ABSOLUTE",
        min=0.0,
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
    model: bpy.props.StringProperty(
        name="Model",
        description="Checkpoint in the models folder that looks at the picture. When empty, what comes along",
    )
    body: bpy.props.StringProperty(
        name="Body",
        description="Body file in the models folder. When empty, the open body that comes along",
    )
    use_camera: bpy.props.BoolProperty(
        name="Camera with Footage",
        description="Also make the camera that fits the motion, with the footage as its background",
        default=True,
    )
    set_render_size: bpy.props.BoolProperty(
        name="Footage Resolution", description="Set the scene's resolution to the footage's"
    )
    existing: EXISTING
    use_nla: USE_NLA


def _running_job(manager: bpy.types.WindowManager) -> Job | None:
    """The running job, or else the last one; None when there was none."""
    return session.job


_CLASSES = (RECOVER_MOTION_PG_person, RECOVER_MOTION_PG_form)


def register() -> None:
    """Register the property groups and attach them."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.recover_motion = bpy.props.PointerProperty(type=RECOVER_MOTION_PG_form)
    bpy.types.WindowManager.recover_motion = property(_running_job)


def unregister() -> None:
    """Detach the property groups and unregister them."""
    del bpy.types.WindowManager.recover_motion
    del bpy.types.Scene.recover_motion
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
