# SPDX-License-Identifier: GPL-3.0-or-later
"""From the recovered body to the artist's own rig.

    preset or detection ─► mapping ─┐
    source armature ─► its motion ──┼─► transfer ─► planted feet ─► keys of the target
    target armature ─► its rest ────┘

`mapping`, `bone_names`, `detection`, `rest_alignment`, `transfer`, `contacts`, `planting` need only numpy;
the others read and write Blender's data.
"""
