# SPDX-License-Identifier: GPL-3.0-or-later
"""What each imported armature keeps of its cleaning: the settings, and which action is the recovered one.

The group is on the armature object, so that it is saved with it, copied with it and can be overridden where
the armature is linked. It has neither methods nor callbacks (see `properties`); `cleaning` does what it says.
"""

import math

import bpy
from bpy.app.handlers import persistent

from .provenance import KEY

_OVERRIDABLE = {"LIBRARY_OVERRIDABLE"}


class RECOVER_MOTION_PG_cleaning(bpy.types.PropertyGroup):
    """How to clean an armature's motion."""

    source: bpy.props.PointerProperty(
        name="Source",
        description="The action as it was recovered; cleaning never changes it",
        type=bpy.types.Action,
        override=_OVERRIDABLE,
    )
    cleaned: bpy.props.PointerProperty(
        name="Cleaned",
        description="The action that cleaning writes",
        type=bpy.types.Action,
        override=_OVERRIDABLE,
    )
    trim_start: bpy.props.IntProperty(
        name="Trim Start", description="Frames to leave out at the start", min=0, override=_OVERRIDABLE
    )
    trim_end: bpy.props.IntProperty(
        name="End", description="Frames to leave out at the end", min=0, override=_OVERRIDABLE
    )
    smooth: bpy.props.FloatProperty(
        name="Smooth",
        description=(
            "In seconds: shaking to and fro in this time is halved, quicker shaking vanishes; movements that"
            " take twice as long keep 93 % of their size. 0 leaves the motion as it is"
        ),
        default=0.2,
        min=0.0,
        soft_max=1.0,
        max=10.0,
        step=1,
        precision=2,
        override=_OVERRIDABLE,
    )
    keep_feet: bpy.props.BoolProperty(
        name="Keep Feet Planted",
        description="Bend the smoothed legs so that feet stand still where they stood before",
        default=True,
        override=_OVERRIDABLE,
    )
    in_place: bpy.props.EnumProperty(
        name="In Place",
        description="What to take out of the motion across the floor",
        items=(
            ("OFF", "Off", "Leave the path as it is"),
            ("TREND", "Steady", "Take out steady travel along a line, as a treadmill does; swaying stays"),
            ("FULL", "Full", "Hold the pelvis over its first place"),
        ),
        override=_OVERRIDABLE,
    )
    use_loop: bpy.props.BoolProperty(
        name="Close Loop",
        description="Lead the last frames to the first pose and its speed, so that the motion can repeat",
        override=_OVERRIDABLE,
    )
    loop_span: bpy.props.IntProperty(
        name="Span",
        description="Frames at the end that are changed to meet the first",
        default=15,
        min=2,
        soft_max=100,
        override=_OVERRIDABLE,
    )
    loop_travels: bpy.props.BoolProperty(
        name="Keep Travel",
        description=(
            "Go on across the floor from where a round ends (repeat with offset); otherwise come back to the"
            " first place"
        ),
        default=True,
        override=_OVERRIDABLE,
    )
    use_floor: bpy.props.BoolProperty(
        name="Set on Floor",
        description="Lift or lower the motion so that its soles are on the floor",
        override=_OVERRIDABLE,
    )
    floor: bpy.props.FloatProperty(
        name="Height",
        description="Height of the floor, from the armature's origin",
        subtype="DISTANCE",
        unit="LENGTH",
        override=_OVERRIDABLE,
    )
    share_below: bpy.props.FloatProperty(
        name="May Sink In",
        description="Share of the frames in which the lower sole may be below the floor",
        subtype="PERCENTAGE",
        default=5.0,
        min=0.0,
        max=100.0,
        soft_max=50.0,
        override=_OVERRIDABLE,
    )
    use_thinning: bpy.props.BoolProperty(
        name="Fewer Keys",
        description="Key the motion at as few frames as keep it within the bounds, instead of at every one",
        default=True,
        override=_OVERRIDABLE,
    )
    interpolation: bpy.props.EnumProperty(
        name="Between Keys",
        description="How the motion goes from key to key",
        items=(
            ("BEZIER", "Bezier", "Smooth curves with handles; needs the fewest keys"),
            ("LINEAR", "Linear", "Straight lines"),
        ),
        override=_OVERRIDABLE,
    )
    rotation_bound: bpy.props.FloatProperty(
        name="Rotation",
        description="How far each bone's rotation may be from the motion at any frame",
        subtype="ANGLE",
        default=math.radians(1.0),
        min=math.radians(0.01),
        soft_max=math.radians(10.0),
        max=math.radians(90.0),
        override=_OVERRIDABLE,
    )
    location_bound: bpy.props.FloatProperty(
        name="Location",
        description="How far the pelvis may be from the motion at any frame",
        subtype="DISTANCE",
        unit="LENGTH",
        default=0.005,
        min=0.0001,
        soft_max=0.1,
        precision=4,
        override=_OVERRIDABLE,
    )


@persistent
def _store_settings(*_: object) -> None:
    """Before a file is saved: write the settings of its imported armatures, even those nobody has touched.

    Blender 5.0 and later forget what a library override changes in a group that the library does not hold.
    """
    for thing in bpy.data.objects:
        if (
            thing.type == "ARMATURE"
            and thing.library is None
            and thing.override_library is None
            and KEY in thing
        ):
            thing.recover_motion_cleaning.smooth = thing.recover_motion_cleaning.smooth


def register() -> None:
    """Register the group and attach it."""
    bpy.app.handlers.save_pre.append(_store_settings)
    bpy.utils.register_class(RECOVER_MOTION_PG_cleaning)
    bpy.types.Object.recover_motion_cleaning = bpy.props.PointerProperty(
        type=RECOVER_MOTION_PG_cleaning, override=_OVERRIDABLE
    )


def unregister() -> None:
    """Detach the group and unregister it."""
    bpy.app.handlers.save_pre.remove(_store_settings)
    del bpy.types.Object.recover_motion_cleaning
    bpy.utils.unregister_class(RECOVER_MOTION_PG_cleaning)
