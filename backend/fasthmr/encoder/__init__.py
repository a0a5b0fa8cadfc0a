# SPDX-License-Identifier: Apache-2.0
"""From crops of a person to a body: vision transformer, token merging, layer merging, checkpoints."""

from fasthmr.encoder.config import CAMERAHMR, HMR2, SMALL_OPEN, EncoderConfig
from fasthmr.encoder.model import HMRModel, HMROutput

__all__ = ["CAMERAHMR", "HMR2", "SMALL_OPEN", "EncoderConfig", "HMRModel", "HMROutput"]
