# SPDX-License-Identifier: Apache-2.0
"""From crops of a person to a body: vision transformer, token merging, layer merging, checkpoints.

What needs PyTorch is imported when it is first asked for, so that the sizes of an encoder can be had without.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from fasthmr.encoder.config import CAMERAHMR, HMR2, SMALL_OPEN, EncoderConfig

if TYPE_CHECKING:
    from fasthmr.encoder.checkpoint import load_checkpoint, read_weights, save_checkpoint
    from fasthmr.encoder.model import HMRModel, HMROutput

_WHERE = {
    "HMRModel": "model",
    "HMROutput": "model",
    "load_checkpoint": "checkpoint",
    "read_weights": "checkpoint",
    "save_checkpoint": "checkpoint",
}

__all__ = [
    "CAMERAHMR",
    "HMR2",
    "SMALL_OPEN",
    "EncoderConfig",
    "HMRModel",
    "HMROutput",
    "load_checkpoint",
    "read_weights",
    "save_checkpoint",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for; called by Python for names that this module does not have yet."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
