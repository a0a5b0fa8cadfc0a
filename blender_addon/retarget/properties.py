# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scene keeps of retargeting: from whom to whom, how, the lists of bones, and a preview that is shown.

All of it is on the scene and not on the characters: where a character is a library override, nothing can be
added to its collections. As everywhere, the groups have neither methods nor callbacks (see `..properties`):
`mapping_list`, `preview` and `operators` read and write them.
"""

import bpy


class RECOVER_MOTION_PG_mapped_bone(bpy.types.PropertyGroup):
    """One bone of a list; several rows of a role are a chain, from the pelvis outwards."""

    role: bpy.props.StringProperty(name="Part", description="Part of the body, named after SMPL's joint")
    bone: bpy.props.StringProperty(name="Bone", description="Bone of the target that plays this part")


class RECOVER_MOTION_PG_mapping(bpy.types.PropertyGroup):
    """The list of bones for one character."""

    target: bpy.props.PointerProperty(
        name="Target", description="The character's armature", type=bpy.types.Object
    )
    bones: bpy.props.CollectionProperty(type=RECOVER_MOTION_PG_mapped_bone)
    root: bpy.props.StringProperty(
        name="Root Bone",
        description=(
            "Bone above the pelvis that can carry the character across the floor. It may be left empty when"
            " the rig has none"
        ),
    )
    extras: bpy.props.StringProperty(
        name="More of the Preset",
        description="Twist bones, IK controls and settings of the rig, as text",
        options={"HIDDEN"},
    )
    preset: bpy.props.StringProperty(name="Preset", description="Where the list came from")
    filled: bpy.props.StringProperty(
        name="As Filled", description="The list as it came, to tell whether it was edited", options={"HIDDEN"}
    )
    says: bpy.props.StringProperty(name="Found", description="What detection said", options={"HIDDEN"})
    score: bpy.props.FloatProperty(
        name="Score", description="How well the preset fits the rig, from 0 to 1", min=0.0, max=1.0
    )


class RECOVER_MOTION_PG_preview(bpy.types.PropertyGroup):
    """A motion that is shown on the target until it is kept or discarded."""

    target: bpy.props.PointerProperty(
        name="Target", description="The character that shows the preview", type=bpy.types.Object
    )
    action: bpy.props.PointerProperty(
        name="Action", description="The motion that is shown", type=bpy.types.Action
    )
    earlier: bpy.props.PointerProperty(
        name="Earlier", description="The action that moved the target before", type=bpy.types.Action
    )
    state: bpy.props.StringProperty(
        name="State", description="Everything else as it was before, as text", options={"HIDDEN"}
    )
    offset: bpy.props.FloatVectorProperty(
        name="Offset",
        description="How far the target stands beside its place, in its parent's space",
        subtype="TRANSLATION",
        options={"HIDDEN"},
    )
    is_frame: bpy.props.BoolProperty(name="One Frame", description="Only one frame's pose is shown")
    says: bpy.props.StringProperty(name="Notes", description="What there is to know", options={"HIDDEN"})


class RECOVER_MOTION_PG_retarget(bpy.types.PropertyGroup):
    """From whom to whom, and how."""

    source: bpy.props.PointerProperty(
        name="Source",
        description=(
            "The recovered body whose motion to take: its armature or its skin. When empty, the active one,"
            " or else the only one of the scene"
        ),
        type=bpy.types.Object,
    )
    target: bpy.props.PointerProperty(
        name="Target",
        description="The character that is to move: its armature, or its skin",
        type=bpy.types.Object,
    )
    lists: bpy.props.CollectionProperty(type=RECOVER_MOTION_PG_mapping)
    preview: bpy.props.PointerProperty(type=RECOVER_MOTION_PG_preview)
    side_by_side: bpy.props.BoolProperty(
        name="Side by Side",
        description="Show the character beside the source while it is a preview",
        default=True,
    )
    all_frames: bpy.props.BoolProperty(
        name="All Frames",
        description="Take all frames of the motion; otherwise those of the scene's range, or preview range",
        default=True,
    )

    alignment: bpy.props.EnumProperty(
        name="Rest Poses",
        description="How the rest poses of both are brought together",
        items=(
            (
                "DIRECTIONS",
                "Match Directions",
                "Limbs point the same way, whether the character rests with arms down or out",
            ),
            ("REST", "Same Pose", "Both rest poses are the same pose, only the bones are other ones"),
            (
                "POSE",
                "Present Pose",
                "The character's pose at present is the source's rest pose: bring it into a T-pose first",
            ),
        ),
    )
    feet: bpy.props.EnumProperty(
        name="Feet",
        description="What keeps feet from sliding and from going through the floor",
        items=(
            ("AUTOMATIC", "Automatic", "Hold feet where the source's stand"),
            ("ALWAYS", "Always", "Hold every foot that is near the floor, even where the source's slides"),
            ("FLOOR", "Floor Only", "Only keep soles from going through the floor"),
            ("OFF", "Off", "Leave the legs as they come"),
        ),
    )
    floor: bpy.props.FloatProperty(
        name="Floor",
        description="Height of the floor in the world",
        subtype="DISTANCE",
        unit="LENGTH",
    )
    scale: bpy.props.EnumProperty(
        name="Travel",
        description="How far the character goes when the source goes one metre",
        items=(
            ("LEGS", "By Leg Length", "As far as its legs are longer or shorter"),
            ("NONE", "Same Way", "Exactly as far as the source"),
            ("FACTOR", "Factor", "As far as a number says"),
        ),
    )
    factor: bpy.props.FloatProperty(
        name="Factor",
        description="The way of the character for one metre of the source's",
        default=1.0,
        min=0.001,
        soft_max=10.0,
    )
    in_place: bpy.props.EnumProperty(
        name="In Place",
        description="What to take out of the motion across the floor",
        items=(
            ("OFF", "Off", "Leave the path as it is"),
            ("TREND", "Steady", "Take out steady travel along a line, as a treadmill does; swaying stays"),
            ("FULL", "Full", "Hold the pelvis over its first place"),
        ),
    )
    heights: bpy.props.EnumProperty(
        name="Heights",
        description="How far the pelvis rises and falls",
        items=(
            ("SCALED", "In Proportion", "As far as the legs are longer or shorter"),
            ("KEPT", "Same Heights", "By as many metres as the source's, for steps and chairs of the set"),
        ),
    )
    root: bpy.props.EnumProperty(
        name="Travels By",
        description="What carries the character across the floor",
        items=(
            ("PELVIS", "Pelvis", "The pelvis, or the control that moves the whole body"),
            ("BONE", "Root Bone", "The rig's root bone, as game engines want it (root motion)"),
            ("OBJECT", "Object", "The armature object itself"),
        ),
    )
    place: bpy.props.EnumProperty(
        name="Starts",
        description="Where the motion is in the world",
        items=(
            ("SOURCE", "At the Source", "Where the source is"),
            ("TARGET", "At the Target", "Where the character stands at the first frame, with its heading"),
        ),
    )
    twists: bpy.props.BoolProperty(
        name="Twist Bones",
        description="Let twist bones take their share of a limb's roll; otherwise they stay as they are",
        default=True,
    )
    ik: bpy.props.BoolProperty(
        name="IK Controls",
        description=(
            "Also place the IK controls of hands and feet, so that limbs can be switched at any frame"
        ),
        default=True,
    )
    every: bpy.props.IntProperty(
        name="Key Every",
        description="Frames from key to key; the last frame always has one",
        default=1,
        min=1,
        soft_max=12,
    )
    use_nla: bpy.props.BoolProperty(
        name="NLA Strips",
        description=(
            "With several motions: put each into a track of its own in the Nonlinear Animation editor. The"
            " last one plays, the others are muted"
        ),
    )


_CLASSES = (
    RECOVER_MOTION_PG_mapped_bone,
    RECOVER_MOTION_PG_mapping,
    RECOVER_MOTION_PG_preview,
    RECOVER_MOTION_PG_retarget,
)


def register() -> None:
    """Register the groups and attach them to scenes."""
    for cls in _CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.recover_motion_retarget = bpy.props.PointerProperty(type=RECOVER_MOTION_PG_retarget)


def unregister() -> None:
    """Detach the groups and unregister them."""
    del bpy.types.Scene.recover_motion_retarget
    for cls in reversed(_CLASSES):
        bpy.utils.unregister_class(cls)
