# SPDX-License-Identifier: Apache-2.0
"""From evidence to a body in motion."""
