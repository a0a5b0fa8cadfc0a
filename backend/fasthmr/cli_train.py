# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train ...``: networks made or made smaller on this machine."""

from __future__ import annotations

from typing import Any


def add_commands(trains: Any) -> None:
    """Add the trainings to the command line.

    Args:
        trains: the set of commands that they belong to; each is added with
            :func:`fasthmr.cli_parser.command_parser` and imports what it needs when it runs.
    """
