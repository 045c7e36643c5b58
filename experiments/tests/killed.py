"""Commands in child processes that are killed at a moment."""

import multiprocessing
import os
import signal
import sys
import time
import traceback

from experiments.runner import files
from experiments.studies import load_study
from experiments.tests.small import COMMANDS

for name in COMMANDS:
    load_study(name)  # once, in the server; its forks then start at once

# The server is a fresh process. torch refuses a backward pass in a fork of a process that has had
# autograd start threads, as other tests in this process may have done.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["experiments.tests.killed"])


def start_server():
    """Start the server of child processes, which imports torch and the studies."""
    child = CONTEXT.Process(target=os.getpid)
    child.start()
    child.join()


class ByClock:
    def __init__(self, number, seconds):
        self.number = number
        self.seconds = seconds


class InWrite:
    """A moment in the n-th durable write, after a part of its bytes or all of them."""

    def __init__(self, number, place, share):
        self.number = number
        self.place = place
        self.share = share

    def arm(self):
        fsync, writes = os.fsync, iter(range(10**9))

        def kill_at(descriptor):
            if next(writes) == self.place:
                if self.share < 1 and self.number == signal.SIGKILL:
                    os.ftruncate(descriptor, int(self.share * os.fstat(descriptor).st_size))
                os.kill(os.getpid(), self.number)
            fsync(descriptor)

        files.os.fsync = kill_at


def attempt(name, out, moment=None):
    """Run the command in a child that is killed at a moment; return its exit status."""
    out.mkdir(parents=True, exist_ok=True)
    child = CONTEXT.Process(target=run_in_child, args=(name, out, moment))
    child.start()
    if isinstance(moment, ByClock):
        time.sleep(moment.seconds)
        if child.is_alive():
            os.kill(child.pid, moment.number)
    child.join()
    return child.exitcode


def run_in_child(name, out, moment):
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        sys.stdout = sys.stderr = (out / "log").open("w", buffering=1)
        if isinstance(moment, InWrite):
            moment.arm()
        load_study(name).main(arguments=[*COMMANDS[name].split(), "--out", str(out)])
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:  # a child must not continue the parent's tests
        traceback.print_exc()
    finally:
        os._exit(status)
