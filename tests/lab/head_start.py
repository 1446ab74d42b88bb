"""A lab that comes up while tests run that do not need it."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile


class HeadStart:
    """``kvmha lab up`` beside the tests that run first, which leave a processor idle, or wait.

    It is no child of ours, since some of these tests see that no child is left over.
    """

    def __init__(self, host, lab):
        self.host = host
        self.lab = lab
        self.folder = tempfile.mkdtemp()
        self.pid_file = f"{self.folder}/pid"
        plan = lab.plan
        # fmt: off
        host.run(
            "setsid", "--fork", "sh", "-c", 'echo $$ > "$0" && exec "$@" > "$0.log" 2>&1', self.pid_file,
            sys.executable, "-m", "kvmha", "lab", "up", "--name", plan.name,
            "--kernel", plan.kernel, "--nodes", str(len(plan.nodes)), "--suite", plan.suite, timeout=20,
        )
        # fmt: on

    def is_running(self):
        """Tell whether it is still at work."""
        return self._pid() is not None

    def _pid(self):
        try:
            pid = int(self.host.read(self.pid_file))
            words = self.host.read(f"/proc/{pid}/cmdline").split("\0")
        except (OSError, ValueError):
            return None
        return pid if self.lab.plan.name in words else None

    def finish(self):
        """Wait until it has ended, and leave either a lab with a cluster or none, which is then made anew."""
        while self.is_running():
            self.host.sleep(0.5)
        shutil.rmtree(self.folder)
        if not self.host.exists(f"{self.lab.plan.folder}/formed"):
            self.lab.down()

    def give_up(self):
        """Have it remove what it has made, and remove what it had made before."""
        pid = self._pid()
        if pid is not None:
            os.kill(pid, signal.SIGINT)
        while self.is_running():
            self.host.sleep(0.1)
        shutil.rmtree(self.folder)
        self.lab.down()
