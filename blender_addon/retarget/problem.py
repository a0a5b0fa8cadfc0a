# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in the way of a retargeting, told to an artist."""


class RetargetProblem(Exception):  # noqa: N818 (as ImportProblem)
    """The motion cannot go to the rig; the message says why, and what to do. Nothing has changed then."""
