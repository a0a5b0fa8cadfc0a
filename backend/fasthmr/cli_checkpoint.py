# SPDX-License-Identifier: Apache-2.0
"""``fasthmr checkpoint ...``: look at the weights of an encoder, and convert them."""

from __future__ import annotations

from typing import Any


def add_commands(actions: Any) -> None:
    """Add the actions to the command line.

    Args:
        actions: the set of commands that they belong to; each is added with
            :func:`fasthmr.cli_parser.command_parser` and imports what it needs when it runs.
    """
