# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train synthesis``: synthetic people for an encoder to learn from."""

from __future__ import annotations

import argparse
import threading
from pathlib import Path
from typing import Any

from fasthmr.cli_output import put, put_json
from fasthmr.cli_parser import command_parser
from fasthmr.errors import BadCall


def add_commands(trains: Any) -> None:
    """Add ``synthesis`` to the trainings of the command line."""
    synthesis = command_parser(
        trains, "synthesis", _synthesis, "render people with known poses for an encoder to learn from"
    )
    synthesis.add_argument(
        "--mocap", type=Path, required=True, metavar="DIR", help="a set made by `fasthmr train mocap`"
    )
    synthesis.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder of the set; the same folder goes on"
    )
    synthesis.add_argument(
        "--shards", type=int, default=64, metavar="N", help="parts of 512 people, 100 MB each (64)"
    )
    synthesis.add_argument("--seed", type=int, default=0, metavar="N", help="of everything drawn (0)")
    synthesis.add_argument(
        "--sheet", type=Path, metavar="FILE.png", help="draw people with their masks and landmarks"
    )
    synthesis.add_argument("--json", action="store_true", help="print JSON")


def _synthesis(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.training.synthesis.people_set import PeopleSet
    from fasthmr.training.synthesis.people_sheet import check_sheet_name, write_people_sheet
    from fasthmr.training.synthesis.render_people import PeopleRequest, render_people

    if options.shards < 1:
        raise BadCall("--shards must be 1 or more.")
    if options.sheet is not None:
        check_sheet_name(options.sheet)
    with CommandProgress(cancelled) as progress:
        new = render_people(PeopleRequest(options.mocap, options.out, options.shards, options.seed), progress)
    people = PeopleSet.open(options.out)
    if options.sheet is not None:
        write_people_sheet(options.sheet, people)
    if options.json:
        put_json(
            {
                "set": str(options.out),
                "new_people": new,
                "training_people": len(people),
                "sheet": str(options.sheet) if options.sheet else None,
            }
        )
    else:
        put(f"{new} new people; {len(people)} to train on")
        put(str(options.out))
        if options.sheet is not None:
            put(str(options.sheet))
    return 0
