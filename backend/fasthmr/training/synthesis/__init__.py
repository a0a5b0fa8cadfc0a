# SPDX-License-Identifier: Apache-2.0
"""Rendered people whose pose, mask and landmarks are known exactly."""
