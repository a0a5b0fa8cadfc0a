# SPDX-License-Identifier: GPL-3.0-or-later
"""An animated character to other programs: one file, checked by reading it back.

    bones at every frame ─► stand-in in its own scene ─► Blender's exporter ─► read back ─► in its place
        `sampling`               `stand_in`                 `writers`          `read_back`   `in_place`

What is exported is never the user's own character but a stand-in: the same bones and skins at rest, keyed
at every frame with what was seen, in the units and axes that the receiving program expects. So constraints,
drivers, NLA, control rigs and objects' scales are told in plain keys, and the user's scene is not touched.
`baked_pose` and `kept_bones` hold the sums; `character` is where it comes together.
"""
