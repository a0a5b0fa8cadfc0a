# SPDX-License-Identifier: GPL-3.0-or-later
"""A worker that speaks the backend's protocol and does what the footage's name says: for tests.

Run as `python fake_worker.py worker`. FAKE_WORKER_HELLO changes how it greets; FAKE_WORKER_MOTION names a
ready motion file, which is what it "recovers".
"""

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

cancelled: set[str] = set()
hanging = threading.Event()
requests: queue.Queue = queue.Queue()
writing = threading.Lock()


def say(**message):
    with writing:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def progress(job, stage, done, total, eta=None):
    say(method="progress", params={"job": job, "stage": stage, "done": done, "total": total, "eta_s": eta})


def fail(request, code, message, exit_code, kind):
    say(id=request, error={"code": code, "message": message, "data": {"exit_code": exit_code, "kind": kind}})


def start_child():
    """A child that keeps this process's pipes open and takes its time; tells its number in the log."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print(f"child {child.pid}", file=sys.stderr, flush=True)  # noqa: T201
    return child


def recover(request, params):
    job, clip = params.get("job", ""), Path(params["footage"]).stem
    if clip == "unreadable":
        return fail(request, -32003, f"{params['footage']} is not a video.", 3, "BadInput")
    if clip == "empty":
        return fail(request, -32004, f"There is nobody in {params['footage']}.", 4, "NobodyFound")
    for step in range(3):
        progress(job, "people", step + 1, 3, 0.5)
    if clip == "crash":
        start_child()
        print("the last straw", file=sys.stderr, flush=True)  # noqa: T201
        os.kill(os.getpid(), signal.SIGKILL)
    if clip == "exits":
        print("no space left", file=sys.stderr, flush=True)  # noqa: T201
        os._exit(7)
    if clip == "hang":
        hanging.set()
        start_child()
        time.sleep(600)
    if clip == "slow":
        for step in range(3000):
            progress(job, "fit", step, 3000, 60.0)
            time.sleep(0.02)
            if job in cancelled:
                return fail(request, -32800, "Cancelled. Finished stages are kept.", 130, "Cancelled")
    if clip == "late":  # done at the very moment of the cancel
        while job not in cancelled:
            time.sleep(0.01)
    if clip == "garbage":
        sys.stdout.write("Loading weights... 100%\n[1, 2]\nnull\n{half a mess\n")
        say(method="progress", params={"job": job, "stage": "fit"})
        say(method="progress", params={"job": job, "stage": "fit", "done": "many", "total": {}})
        say(method="weather", params={"sun": True})
        say(id=request + 1000, result={})
        say(id="x", result=[])
    progress(job, "write", 1, None)
    folder = Path(params["out"])
    folder.mkdir(parents=True, exist_ok=True)
    motion = folder / f"{clip}.person01.npz"
    if clip == "spoiled":
        motion.write_bytes(b"not an archive")
    else:
        shutil.copyfile(os.environ["FAKE_WORKER_MOTION"], motion)
    result = {"job": job, "folder": str(folder), "motions": [str(motion)], "body": None, "seconds": 0.1}
    return say(id=request, result=result | {"request": params})


def people(request, params):
    progress("people", "people", 1, 2)
    if Path(params["footage"]).stem == "slow":
        hanging.set()
        time.sleep(600)
    found = [
        {
            "person": number,
            "shot": 0,
            "first_frame": 0,
            "last_frame": 30 * number,
            "start": 0.0,
            "end": float(number),
            "frames": 30 * number,
            "coverage": 0.5,
            "box_height": 400.0,
            "thumbnail": None,
        }
        for number in (1, 2, 3)
    ]
    say(id=request, result={"people": found, "folder": params.get("out", "")})


def doctor(request, params):
    checks = [
        {"name": "torch", "ok": True, "detail": "2.13", "advice": ""},
        {"name": "body", "ok": False, "detail": "missing", "advice": "Run `python build.py setup`."},
    ]
    say(id=request, result={"ok": False, "checks": checks})


def work():
    methods = {"recover": recover, "people": people, "doctor": doctor}
    while True:
        message = requests.get()
        methods[message["method"]](message["id"], message["params"])


def hello(request):
    match os.environ.get("FAKE_WORKER_HELLO", ""):
        case "silent":
            return
        case "old":
            say(id=request, result={"name": "fasthmr", "version": "9.9", "protocol": 2, "device": "cpu"})
        case "error":
            fail(request, -32603, "no libraries", 1, "internal")
        case "exit":
            print("ModuleNotFoundError: torch", file=sys.stderr, flush=True)  # noqa: T201
            os._exit(1)
        case _:
            poison = sorted(name for name in ("PYTHONPATH", "PYTHONHOME") if name in os.environ)
            say(
                id=request, result={"name": "fasthmr", "version": "0.1", "protocol": 1, "device": str(poison)}
            )


def main():
    assert sys.argv[-1] == "worker"
    signal.signal(signal.SIGTERM, lambda *_: None if hanging.is_set() else os._exit(0))
    threading.Thread(target=work, daemon=True).start()
    for line in sys.stdin:
        message = json.loads(line)
        if message["method"] == "hello":
            hello(message["id"])
        elif message["method"] == "cancel":
            cancelled.add(message["params"]["job"])
            say(id=message["id"], result={"cancelled": not hanging.is_set()})
        else:
            requests.put(message)
    while hanging.is_set():
        time.sleep(1)
    os._exit(0)  # the end of input ends it, whatever the work thread does


if __name__ == "__main__":
    main()
