# SPDX-License-Identifier: Apache-2.0
"""FastHMR: from a video to a rigged, keyframed SMPL-layout body.

The flow, one folder a step::

    footage -> people -> encoder -> evidence -> decoder -> placement -> motion

:func:`fasthmr.pipeline.recover` runs it; the command ``fasthmr`` and the worker that Blender
talks to are thin layers over that function.
"""

__version__ = "0.1.0"
