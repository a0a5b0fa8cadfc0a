# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train ...``: networks made or made smaller on this machine."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fasthmr.cli_output import put, put_json, say
from fasthmr.cli_parser import CLIP_HELP, command_parser
from fasthmr.errors import BadCall

if TYPE_CHECKING:
    from fasthmr.encoder.layer_plan import LayerPlan
    from fasthmr.training.eclm import MergeResult

_KINDS: Final = ("hmr2", "camerahmr", "open")
# The trainings of one network or data set each; a file that is not there yet is passed over.
_TRAININGS: Final = (
    "cli_train_mocap",
    "cli_train_synthesis",
    "cli_train_evidence",
    "cli_train_encoder",
    "cli_train_decoder",
)
_VARIANTS: Final = ("formula", "keep_last", "keep_first", "mean")  # a test holds them to those of the plan


def add_commands(trains: Any) -> None:
    """Add the trainings to the command line.

    Args:
        trains: the set of commands that they belong to; each is added with
            :func:`fasthmr.cli_parser.command_parser` and imports what it needs when it runs.
    """
    for name in _TRAININGS:
        if importlib.util.find_spec(f"fasthmr.{name}") is not None:
            importlib.import_module(f"fasthmr.{name}").add_commands(trains)
    eclm = command_parser(trains, "eclm", _eclm, "merge layers of an encoder as far as its error allows")
    eclm.add_argument(
        "--model", choices=_KINDS, metavar="MODEL", help="whose checkpoint: hmr2, camerahmr or open (hmr2)"
    )
    eclm.add_argument(
        "--checkpoint", type=Path, required=True, metavar="FILE", help="weights of the original network"
    )
    eclm.add_argument(
        "--out", type=Path, required=True, metavar="FILE.safetensors", help="the checkpoint to write"
    )
    on = eclm.add_mutually_exclusive_group(required=True)
    on.add_argument("--clips", type=Path, nargs="+", metavar="CLIP", help=f"measure on these: {CLIP_HELP}")
    on.add_argument("--labelled", type=Path, metavar="SET.npz", help="measure on crops with known joints")
    on.add_argument("--people", type=Path, metavar="DIR", help="measure on synthetic people, for open")
    on.add_argument("--apply", type=Path, metavar="PLAN.json", help="measure nothing, do as a plan says")
    eclm.add_argument(
        "--tau", type=float, metavar="MM", help="how much more error is allowed, millimetres (0.1)"
    )
    eclm.add_argument(
        "--variant", choices=_VARIANTS, metavar="WHAT", help=f"{', '.join(_VARIANTS)}: what layers become"
    )
    eclm.add_argument("--frames", type=int, metavar="N", help="crops to measure on (64)")
    eclm.add_argument(
        "--plan", type=Path, metavar="PLAN.json", help="where the plan goes (beside the checkpoint)"
    )
    eclm.add_argument(
        "--tokens", type=int, metavar="N", help="measure with tokens merged to so many (192: not merged)"
    )
    eclm.add_argument("--drop-baseline", action="store_true", help="also measure leaving out as many layers")
    eclm.add_argument(
        "--minutes", type=float, metavar="M", help="stop after so long; the same call goes on from there"
    )
    eclm.add_argument("--body", metavar="BODY", help="whose joints: open, or a body model file (open)")
    eclm.add_argument("--camera-fov", type=float, metavar="DEG", help="field of view of the clips' camera")
    eclm.add_argument("--device", metavar="DEVICE", help="auto, cpu, cuda or mps (auto)")
    eclm.add_argument("--precision", metavar="NUMBERS", help="fp32, bf16 or fp16 (fp32)")
    eclm.add_argument("--batch", type=int, metavar="N", help="crops at a time (4 on a CPU, 32 on a GPU)")
    eclm.add_argument("--json", action="store_true", help="print JSON")


# Options of the search alone; MergeRequest calls them the same.
_SEARCH: Final = (
    "tau",
    "variant",
    "frames",
    "plan",
    "tokens",
    "minutes",
    "body",
    "camera_fov",
    "device",
    "precision",
    "batch",
)


def _eclm(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.training.eclm import MergeRequest, apply_plan, merge_checkpoint

    given = {name: getattr(options, name) for name in _SEARCH if getattr(options, name) is not None}
    if options.apply is not None:
        if given or options.drop_baseline:
            name = next(iter(given), "drop_baseline").replace("_", "-")
            raise BadCall(f"--{name} belongs to the search for a plan; with --apply nothing is searched.")
        plan = apply_plan(options.apply, options.checkpoint, options.out, options.model)
        if options.json:
            put_json({"checkpoint": str(options.out), "plan": plan.to_json()})
        else:
            put(plan.describe())
            put(str(options.out))
        return 0
    request = MergeRequest(
        checkpoint=options.checkpoint,
        out=options.out,
        kind=options.model or "hmr2",
        clips=tuple(options.clips or ()),
        labelled=options.labelled,
        people=options.people,
        drop_baseline=options.drop_baseline,
        **given,
    )
    with CommandProgress(cancelled) as progress:
        result = merge_checkpoint(request, progress)
    if not result.plan.finished:
        say("The time is up. The same call goes on from here.")
    if options.json:
        put_json(_as_json(result, request.out, request.plan_path))
    else:
        put(_as_text(result))
        put(str(request.out))
        put(str(request.plan_path))
    return 0


def _as_text(result: MergeResult) -> str:
    plan = result.plan
    lines = [f"layers   {plan.metric:>13}     change", f"original {_number(plan.baseline)}"]
    for test in plan.tests:
        value = _number(test.value)
        change = "" if test.value is None else f"{test.value - (plan.baseline or 0.0):+10.4f}"
        answer = "may become one" if test.accepted else "no"
        lines.append(f"{f'{test.low}-{test.high}':<8} {value} {change:>10}  {answer}")
    lines.append(plan.describe())
    if result.drop is not None:
        dropped = ", ".join(map(str, sorted(result.drop.dropped)))
        lines.append(f"leaving out layers {dropped} instead: {_number(result.drop.value).strip()}")
    if result.seconds is not None:
        lines.append(f"{result.measured} measurements, {result.seconds:.1f} s each")
    return "\n".join(lines)


def _as_json(result: MergeResult, out: Path, plan_path: Path) -> dict[str, Any]:
    plan: LayerPlan = result.plan
    drop = result.drop
    return {
        "checkpoint": str(out),
        "plan_file": str(plan_path),
        "plan": plan.to_json(),
        "drop_baseline": None
        if drop is None
        else {"dropped": sorted(drop.dropped), "single": drop.single, "value": drop.value},
        "measured": result.measured,
        "seconds_per_measurement": result.seconds,
    }


def _number(value: float | None) -> str:
    return f"{'no number' if value is None else format(value, '.4f'):>13}"
