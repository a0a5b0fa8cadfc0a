# SPDX-License-Identifier: Apache-2.0
"""Networks made, or made smaller, on this machine."""
