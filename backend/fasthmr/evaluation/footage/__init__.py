# SPDX-License-Identifier: Apache-2.0
"""Rendered footage of held-out motion capture, with the exact truth of every frame."""
