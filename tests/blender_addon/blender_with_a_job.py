# SPDX-License-Identifier: GPL-3.0-or-later
"""A Blender of its own that runs a job, to be killed by a test: says the worker's number, and each stage.

python blender_with_a_job.py FOLDER_OF_THE_PACKAGE FOOTAGE OUT
"""

import sys
import time

sys.path.insert(0, sys.argv[1])

import bpy
import recover_motion
from recover_motion import session
from recover_motion.arrival import Destination
from recover_motion.job_form import request_of
from recover_motion.jobs import Job


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


recover_motion.register()
form = bpy.context.scene.recover_motion
form.footage, form.out, form.when_done = sys.argv[2], sys.argv[3], "WAIT"
job = Job("recover", request_of(form), imports=True)
session.start(job, Destination.of(bpy.context.scene))
say("worker", session._worker.pid)
said = ""
while job.active:
    session._poll()
    if job.stage != said:
        said = job.stage
        say("stage", said)
    time.sleep(0.02)
say("ended", job.state, job.message)
recover_motion.unregister()
