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
from .take_choices import EXISTING, SHAPE, USE_NLA


class RECOVER_MOTION_PG_person(bpy.types.PropertyGroup):
    """A person that was found in the footage."""

    number: bpy.props.IntProperty(name="Number", description="Number in the clip; 1 is the largest")
    chosen: bpy.props.BoolProperty(name="Recover", description="Recover this person's motion", default=True)
    start: bpy.props.FloatProperty(name="Start", description="First seen, in seconds of the clip")
    end: bpy.props.FloatProperty(name="End", description="Last seen, in seconds of the clip")
    coverage: bpy.props.FloatProperty(
        name="Coverage", description="Share of the frames from first to last with this person"
    )
    thumbnail: bpy.props.StringProperty(
        name="Thumbnail", description="Picture of this person", subtype="FILE_PATH"
    )


class RECOVER_MOTION_PG_form(bpy.types.PropertyGroup):
    """What to recover, and how to bring it into the scene."""

    source: bpy.props.EnumProperty(
        name="Source",
        description="Where the footage is",
        items=(
            ("FILE", "File", "A video file, or a sequence of images"),
            ("CLIP", "Movie Clip", "A movie clip of this .blend file, with its start frame and frame offset"),
        ),
    )
    footage: bpy.props.StringProperty(
        name="Footage",
        description=(
            "Video file, image of a sequence, folder of images, or pattern such as shot_####.png, with the"
            " people to recover"
        ),
        subtype="FILE_PATH",
        options=RELATIVE_PATH,
    )
    clip: bpy.props.PointerProperty(
        name="Movie Clip",
        description="Movie clip with the people to recover. Its file is read; tracks and masks are not used",
        type=bpy.types.MovieClip,
    )
    frame_rate: bpy.props.FloatProperty(
        name="Frame Rate",
        description="Images a second, as they were filmed. 0 takes the scene's frame rate",
        min=0.0,
        max=1000.0,
        soft_max=120.0,
        precision=3,
        step=100,
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
    part: bpy.props.EnumProperty(
        name="Range",
        description="Which part of the footage to recover",
        items=(
            ("ALL", "Whole Footage", "All frames of the file"),
            (
                "SCENE",
                "Scene Range",
                "What stands at the frames of the scene's range, or of its preview range when that is in use",
            ),
            ("CLIP", "Clip Range", "What the movie clip shows: from its frame offset to its end"),
            ("TIMES", "In and Out", "Between two times of the footage"),
        ),
    )
    start: bpy.props.FloatProperty(
        name="Start",
        description="Where to start, in seconds of the clip. A frame that is shown at this time is included",
        subtype="TIME_ABSOLUTE",
        min=0.0,
        precision=3,
    )
    end: bpy.props.FloatProperty(
        name="End",
        description=(
            "Where to end, in seconds of the clip. A frame that is shown at this time is left out. 0 is the"
            " clip's own end"
        ),
        subtype="TIME_ABSOLUTE",
        min=0.0,
        precision=3,
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
    shape: SHAPE
    smooth: bpy.props.FloatProperty(
        name="Smooth",
        description=(
            "Smooth the motion after the import: shaking to and fro in this time is halved, quicker shaking"
            " vanishes. 0 leaves the motion as it was recovered. It can be changed afterwards in Clean Up"
        ),
        subtype="TIME_ABSOLUTE",
        min=0.0,
        soft_max=1.0,
        max=10.0,
        step=1,
        precision=2,
    )
    feet: bpy.props.EnumProperty(
        name="Feet",
        description="What smoothing does to feet that stand",
        items=(
            ("PLANTED", "Keep Planted", "Bend the smoothed legs so that feet stand still where they stood"),
            ("FREE", "Smooth Too", "Smooth them like everything else, so that they may creep"),
        ),
    )
    floor: bpy.props.EnumProperty(
        name="Floor",
        description="How high the motion stands",
        items=(
            ("RECOVERED", "As Recovered", "Leave the heights as they were recovered"),
            ("SOLES", "Set on Floor", "Lift or lower the whole motion so that its soles stand on the floor"),
        ),
    )
    when_done: bpy.props.EnumProperty(
        name="When Done",
        description="What happens when the motion is recovered",
        items=(
            ("IMPORT", "Import", "Import the motion at once, or as soon as you are back in Object Mode"),
            ("WAIT", "Wait for a Click", "Keep the motion on disk until you click Import Result"),
        ),
    )
    use_camera: bpy.props.BoolProperty(
        name="Camera with Footage",
        description="Also make the camera that fits the motion, with the footage as its background",
        default=True,
    )
    set_render_size: bpy.props.BoolProperty(
        name="Footage Resolution",
        description="Set the scene's resolution to the footage's, so that renders lie over it exactly",
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
