# SPDX-License-Identifier: Apache-2.0
"""Camera, floor and contacts: from the camera's frame into a metric world with z up."""

from fasthmr.placement.camera import camera_intrinsics, focal_length
from fasthmr.placement.place import place

__all__ = ["camera_intrinsics", "focal_length", "place"]
