# SPDX-License-Identifier: Apache-2.0
"""Encoders: from a crop of a person to a body. This version has none; the landmark fit does without."""
