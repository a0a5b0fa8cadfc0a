# SPDX-License-Identifier: Apache-2.0
"""Figures: of motions, and of how long it takes to make them."""
