# SPDX-License-Identifier: Apache-2.0
"""Video in: frames with their times, upright and in RGB, from any video file or image sequence."""

from fasthmr.footage.clip import Footage, open_footage, probe
from fasthmr.footage.fingerprint import sha256_of
from fasthmr.footage.info import DEFAULT_FRAME_RATE, FootageInfo, Frame

__all__ = ["DEFAULT_FRAME_RATE", "Footage", "FootageInfo", "Frame", "open_footage", "probe", "sha256_of"]
