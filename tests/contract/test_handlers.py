"""The programs that DRBD calls, as processes: where they find their library, and what they answer."""

from __future__ import annotations

import shutil
import subprocess

import pytest

ENVIRON = {"PATH": "/sbin:/usr/sbin:/bin:/usr/bin", "HOME": "/", "TERM": "linux"}
"""What the kernel gives drbdadm, and drbdadm its handlers (recorded with 8.4.11)."""

HANDLERS = ("drbd-fence-peer", "drbd-unfence-peer", "drbd-split-brain")


@pytest.mark.parametrize("name", HANDLERS)
def test_a_handler_runs_from_a_checkout(checkout, name):
    done = subprocess.run([checkout / "handlers" / name], env=ENVIRON, capture_output=True, timeout=30, check=False)
    # Nobody said which resource: it must not tell DRBD that anything has been fenced.
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


@pytest.mark.parametrize("name", HANDLERS)
def test_an_installed_handler_takes_the_library_of_the_agents(checkout, tmp_path, name):
    copy = shutil.copy(checkout / "handlers" / name, tmp_path)
    script = (
        f"import runpy, sys; sys.argv = [{str(copy)!r}]\ntry: runpy.run_path({str(copy)!r})\nexcept ImportError: pass\n"
    )
    script += "print(sys.path[0])"
    done = subprocess.run(["python3", "-IS", "-c", script], env=ENVIRON, capture_output=True, timeout=30, check=True)
    assert done.stdout.decode().strip() == "/usr/lib/ocf/lib/kvmha"


def test_a_cluster_that_is_not_there_is_waited_for_and_then_nothing_is_claimed(checkout):
    environ = {**ENVIRON, "DRBD_RESOURCE": "no-such-resource", "DRBD_PEER": "n2"}
    done = subprocess.run(
        [checkout / "handlers" / "drbd-fence-peer", "3"], env=environ, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 1
