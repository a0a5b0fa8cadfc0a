# SPDX-License-Identifier: Apache-2.0
"""What perception would say of captured motion: virtual cameras, and a detector's errors."""

from fasthmr.training.evidence.errors import ErrorParameters
from fasthmr.training.evidence.synthesis import EvidenceSynthesis

__all__ = ["ErrorParameters", "EvidenceSynthesis"]
