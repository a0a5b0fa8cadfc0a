# SPDX-License-Identifier: Apache-2.0
"""``fasthmr train decoder``: the motion decoder, from motion capture alone; ``train average``: of several."""

from __future__ import annotations

import argparse
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fasthmr.cli_output import put, put_json, say
from fasthmr.cli_parser import command_parser


def add_commands(trains: Any) -> None:
    """Add ``decoder`` to the trainings of the command line."""
    decoder = command_parser(
        trains, "decoder", _decoder, "train motion VAE, denoiser and regressor on motion capture"
    )
    decoder.add_argument(
        "--mocap", type=Path, required=True, metavar="DIR", help="a set made by `fasthmr train mocap`"
    )
    decoder.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="DIR",
        help="state, logs and weights; the same folder goes on",
    )
    decoder.add_argument("--vae-minutes", type=float, metavar="M", help="time for the VAE (15)")
    decoder.add_argument("--minutes", type=float, metavar="M", help="time for denoiser and regressor (90)")
    decoder.add_argument("--batch", type=int, metavar="N", help="windows a step (32)")
    decoder.add_argument(
        "--pairs", type=Path, metavar="DIR", help="recorded pairs of `fasthmr train evidence`, mixed in"
    )
    decoder.add_argument("--pairs-share", type=float, metavar="S", help="their share of the batches (0.3)")
    decoder.add_argument(
        "--varied", type=float, metavar="S", help="share of the other batches whose motion is varied (0.5)"
    )
    decoder.add_argument("--start-from", type=Path, metavar="FILE", help="weights to fine-tune")
    decoder.add_argument("--learning-rate", type=float, metavar="R", help="highest (0.0005)")
    decoder.add_argument(
        "--only", dest="trained", choices=["denoiser", "regressor"], help="train one network instead of both"
    )
    decoder.add_argument("--width", type=int, metavar="N", help="of all networks (denoiser 256, VAE 192)")
    decoder.add_argument("--depth", type=int, metavar="N", help="layers (denoiser 6, regressor 8)")
    decoder.add_argument("--seed", type=int, metavar="N", help="of everything drawn (0)")
    decoder.add_argument("--device", metavar="DEVICE", help="auto, cpu, cuda or mps (auto)")
    decoder.add_argument(
        "--precision", metavar="NUMBERS", help="of the networks' products: auto, fp32 or bf16 (auto)"
    )
    decoder.add_argument("--threads", type=int, metavar="N", help="of PyTorch (as many as it likes)")
    decoder.add_argument("--validation-windows", type=int, metavar="N", help="to measure on (256)")
    decoder.add_argument("--validate-minutes", type=float, metavar="M", help="time between measurements (5)")
    decoder.add_argument("--json", action="store_true", help="print JSON")

    average = command_parser(
        trains, "average", _average, "average motion decoders that were fine-tuned from one another"
    )
    average.add_argument("files", type=Path, nargs="+", metavar="FILE", help="weights of `train decoder`")
    average.add_argument(
        "--shares", type=float, nargs="+", metavar="S", help="of each file, in their order (equal ones)"
    )
    average.add_argument("--out", type=Path, required=True, metavar="FILE", help="ends in .safetensors")


_SETTINGS = (
    "vae_minutes",
    "minutes",
    "batch",
    "pairs",
    "pairs_share",
    "varied",
    "start_from",
    "learning_rate",
    "trained",
    "seed",
    "precision",
    "threads",
    "validation_windows",
    "validate_minutes",
)


def _decoder(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.cli_progress import CommandProgress
    from fasthmr.decoder.motion_decoder import DecoderConfig
    from fasthmr.device import choose_device
    from fasthmr.training.motion_decoder import DecoderTraining, resized, train_decoder

    given = {name: getattr(options, name) for name in _SETTINGS if getattr(options, name) is not None}
    config = resized(DecoderConfig(), options.width, options.depth)
    device = str(choose_device(options.device or "auto"))
    training = DecoderTraining(options.mocap, options.out, device=device, config=config, **given)
    with CommandProgress(cancelled) as progress:
        errors = train_decoder(training, progress)
    if options.json:
        put_json({name: asdict(one) for name, one in errors.items()})
        return 0
    for name, one in errors.items():
        put(
            f"{name}: MPJPE {one.mpjpe_mm:.1f} mm, PA-MPJPE {one.pa_mpjpe_mm:.1f}, accel {one.accel:.2f} m/s²"
        )
    say(f"The weights are in {options.out / 'motion_decoder.safetensors'}.")
    return 0


def _average(options: argparse.Namespace, cancelled: threading.Event) -> int:
    from fasthmr.decoder.motion_decoder import save_decoder
    from fasthmr.training.averaged_weights import average_decoders

    average, parts = average_decoders(options.files, options.shares)
    save_decoder(average, options.out, parts)
    put(str(options.out))
    return 0
