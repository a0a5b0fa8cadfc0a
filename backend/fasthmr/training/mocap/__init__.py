# SPDX-License-Identifier: Apache-2.0
"""Motion capture of any source, brought to SMPL's layout: what the networks learn motion from."""
