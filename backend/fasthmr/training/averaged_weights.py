# SPDX-License-Identifier: Apache-2.0
"""The average of motion decoders that were fine-tuned from one another.

Wortsman et al., "Model soups: averaging weights of multiple fine-tuned models improves accuracy without
increasing inference time" (arXiv 2203.05482): runs that began at the same weights lie in one basin, so that
the average of their weights is a network too, and errs less outside of what either learned from.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fasthmr.decoder.motion_decoder import MotionDecoder, load_decoder
from fasthmr.errors import BadCall, BadInput


def average_decoders(
    files: Sequence[Path], shares: Sequence[float] | None = None
) -> tuple[MotionDecoder, dict[str, Any]]:
    """Average motion decoders of one size that share their VAE.

    Args:
        files: two weights or more.
        shares: of each file, positive; equal ones when left out. Only their ratios count.

    Returns:
        The average, and what it is made of, for the head of its file.

    Raises:
        BadCall: there are too few files, or the shares do not fit them.
        BadInput: a file cannot be read, or the decoders differ in size or in their VAE: a denoiser speaks the
            latents of its own.
        MissingModel: a file is not there.
    """
    if len(files) < 2:
        raise BadCall("An average needs two weights or more.")
    shares = [1.0] * len(files) if shares is None else list(shares)
    if len(shares) != len(files) or min(shares) <= 0:
        raise BadCall(f"{len(files)} files need as many shares, each more than 0; there are {shares}.")
    decoders = [load_decoder(file) for file in files]
    first = decoders[0]
    for file, other in zip(files[1:], decoders[1:], strict=True):
        if other.config != first.config:
            raise BadInput(f"{file} is a motion decoder of another size than {files[0]}.")
        own, theirs = first.vae.state_dict(), other.vae.state_dict()
        if any(not torch.equal(own[name], theirs[name]) for name in own):
            raise BadInput(
                f"{file} has another VAE than {files[0]}. Fine-tune both from the same weights, "
                "with --vae-minutes 0."
            )
    total = sum(shares)
    states = [decoder.state_dict() for decoder in decoders]
    mixed = {}
    for name, one in states[0].items():
        if one.is_floating_point() and not name.startswith("vae."):
            terms = [
                share / total * state[name].double() for share, state in zip(shares, states, strict=True)
            ]
            mixed[name] = torch.stack(terms).sum(0).to(one.dtype)
        else:
            mixed[name] = one
    average = MotionDecoder(first.config)
    average.load_state_dict(mixed)
    parts = [
        {"file": file.name, "sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "share": share / total}
        for file, share in zip(files, shares, strict=True)
    ]
    return average, {"average": parts}
