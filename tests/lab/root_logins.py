"""Root of some nodes may log in on all others, as a drill's runner has to, also after they have booted anew."""

from __future__ import annotations

import contextlib

from kvmha.lab.plan import VAGRANT

ADMIT = """\
set -e
mkdir -p -m 700 /root/.ssh /run/sshd
cat >>/root/.ssh/authorized_keys
systemctl --quiet start ssh
systemctl --quiet enable ssh
"""
LOGIN = """\
set -e
mkdir -p -m 700 /root/.ssh
[ -e /root/.ssh/id_ed25519 ] || ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
printf 'StrictHostKeyChecking accept-new\\nConnectTimeout 5\\n' >/root/.ssh/config
cat /root/.ssh/id_ed25519.pub
"""
FORGET = "systemctl --quiet disable --now ssh; rm -rf /root/.ssh"

LIMIT = 120


@contextlib.contextmanager
def root_logins(lab, runners):
    """Let root of the runners log in on all nodes, for as long as the context lasts."""
    if lab.plan.kernel == VAGRANT:
        # Its nodes are reached by ssh themselves, and know each other's keys from the beginning.
        yield
        return
    nodes = [node.name for node in lab.plan.nodes]
    for runner in runners:
        key = lab.run(runner, "sh", "-c", LOGIN, timeout=LIMIT).out
        for node in nodes:
            if node != runner:
                lab.run(node, "sh", "-c", ADMIT, given=key, timeout=LIMIT)
    try:
        yield
    finally:
        for node in nodes:
            if lab.leader(node):
                lab.run(node, "sh", "-c", FORGET, timeout=LIMIT, ok=None)
