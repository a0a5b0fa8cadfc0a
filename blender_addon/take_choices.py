# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user can choose about an import: the same in the job form and in the importer."""

import bpy

EXISTING = bpy.props.EnumProperty(
    name="People Already Here",
    description="What to do with people of this footage who are in the scene already",
    items=(
        ("NEW", "Import Beside", "Make another armature and body, and leave the earlier ones alone"),
        (
            "REPLACE",
            "Replace Motion",
            "Give the armature the new motion. The earlier action stays in the file under its name",
        ),
        (
            "STACK",
            "Stack in NLA",
            "Give the armature the new motion, and keep the earlier one in a muted track of the NLA",
        ),
    ),
    options={"SKIP_SAVE"},  # an importer that remembered it would replace what nobody asked it to
)

USE_NLA = bpy.props.BoolProperty(
    name="NLA Strip",
    description="Put the motion into a strip of the Nonlinear Animation editor, ready for layers on top",
)

SHAPE = bpy.props.EnumProperty(
    name="Body Shape",
    description="Whose body the motion comes on",
    items=(
        ("OWN", "The Person's", "The body with the shape that was recovered with the motion"),
        (
            "AVERAGE",
            "Average",
            "The average body, the same for everyone, so that motions can be swapped. Its steps are as"
            " long as its legs allow, so it does not cover the person in the footage exactly",
        ),
    ),
)
