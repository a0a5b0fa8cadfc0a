# SPDX-License-Identifier: Apache-2.0
"""Pictures of a motion over its footage, to judge it by eye."""

from fasthmr.preview.context import open_context
from fasthmr.preview.render import render_preview

__all__ = ["open_context", "render_preview"]
