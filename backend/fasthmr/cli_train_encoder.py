# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train encoder``: our own encoder, from captured motion and rendered people."""

from __future__ import annotations

import argparse
import threading
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fasthmr.cli_output import put, put_json, say
from fasthmr.cli_parser import command_parser


def add_commands(trains: Any) -> None:
    """Add ``encoder`` to the trainings of the command line."""
    encoder = command_parser(
        trains, "encoder", _encoder, "train our encoder on captured motion and rendered people"
    )
    encoder.add_argument("--people", type=Path, metavar="DIR", help="a set made by `fasthmr train synthesis`")
    encoder.add_argument(
        "--mocap", type=Path, metavar="DIR", help="a set made by `fasthmr train mocap`, for landmarks alone"
    )
    encoder.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="state, logs and weights; the same folder goes on",
    )
    encoder.add_argument("--minutes", type=float, metavar="M", help="time with pictures (60)")
    encoder.add_argument(
        "--landmark-minutes", type=float, metavar="M", help="time before them, with landmarks alone (15)"
    )
    encoder.add_argument("--batch", type=int, metavar="N", help="people a step (32)")
    encoder.add_argument("--mocap-batch", type=int, metavar="N", help="landmarks of motion beside them (256)")
    encoder.add_argument("--start-from", type=Path, metavar="FILE", help="weights to fine-tune")
    encoder.add_argument("--learning-rate", type=float, metavar="R", help="highest (0.0006)")
    encoder.add_argument("--rgb", action="store_true", help="read colours beside edges and mask")
    encoder.add_argument("--width", type=int, metavar="N", help="of the tokens, a multiple of 64 (192)")
    encoder.add_argument("--depth", type=int, metavar="N", help="layers (8)")
    encoder.add_argument("--seed", type=int, metavar="N", help="of everything drawn (0)")
    encoder.add_argument("--device", metavar="DEVICE", help="auto, cpu, cuda or mps (auto)")
    encoder.add_argument(
        "--precision", metavar="NUMBERS", help="of the network's products: auto, fp32 or bf16 (auto)"
    )
    encoder.add_argument("--threads", type=int, metavar="N", help="of PyTorch (as many as it likes)")
    encoder.add_argument("--validation", type=int, metavar="N", help="people to measure on (256)")
    encoder.add_argument("--validate-minutes", type=float, metavar="M", help="time between measurements (5)")
    encoder.add_argument("--json", action="store_true", help="print JSON")


_SETTINGS = (
    "mocap",
    "minutes",
    "landmark_minutes",
    "batch",
    "mocap_batch",
    "start_from",
    "learning_rate",
    "seed",
    "precision",
    "threads",
    "validation",
    "validate_minutes",
)


def _encoder(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.device import choose_device
    from fasthmr.encoder.config import COLOURS, OPEN, PROXIES
    from fasthmr.errors import BadCall
    from fasthmr.training.encoder import WEIGHTS, EncoderTraining, train_encoder

    config = replace(OPEN, in_channels=PROXIES + COLOURS) if options.rgb else OPEN
    width, depth = options.width or config.dim, options.depth or config.depth
    if width % 64 or width < 64 or depth < 1:
        raise BadCall(
            f"A network of width {width} and {depth} layers cannot be: multiples of 64, and 1 or more."
        )
    config = replace(config, dim=width, heads=width // 64, depth=depth)
    given = {name: getattr(options, name) for name in _SETTINGS if getattr(options, name) is not None}
    device = str(choose_device(options.device or "auto"))
    training = EncoderTraining(options.people, options.out, device=device, config=config, **given)
    with CommandProgress(cancelled) as progress:
        errors = train_encoder(training, progress)
    if options.json:
        put_json({name: asdict(one) for name, one in errors.items()})
        return 0
    for name, one in errors.items():
        put(
            f"{name}: MPJPE {one.mpjpe_mm:.1f} mm, PA-MPJPE {one.pa_mpjpe_mm:.1f}; limbs {one.limbs_mm:.1f}, "
            f"{one.limbs_pa_mm:.1f} (landmarks {one.landmarks_mm:.1f}, {one.landmarks_pa_mm:.1f})"
        )
    say(f"The weights are in {options.out / WEIGHTS}.")
    return 0
