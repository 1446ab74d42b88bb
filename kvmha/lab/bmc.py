"""A baseboard management controller per node: ipmi_sim, outside the nodes, as a real one has a life of its own.

fence_ipmilan in a node talks to it over the management network. Powering a node off or on is done by
kvmha.lab.chassis, which the simulator calls. Two things about the simulator of Debian 12 and 13: it does not answer the
cipher-suite query, so that ipmitool waits ten seconds for it unless it is given a suite (the fencing option cipher=3);
and it must be put into its namespace with nsenter, since ip-netns(8) replaces /sys, and a node started below could not
find its cgroups.
"""

from __future__ import annotations

import os
import shlex
import sys

import kvmha
from kvmha.host import SIGKILL
from kvmha.lab import network, nodes
from kvmha.lab.plan import BMC_PASSWORD, BMC_USER, MARK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from kvmha.host import Host
    from kvmha.lab.plan import LabPlan, NodePlan

# power_wait is what a slow BMC needs between a switch and the next question; the simulator answers when it is done.
FENCING_OPTIONS = {"username": BMC_USER, "password": BMC_PASSWORD, "lanplus": 1, "cipher": 3, "power_wait": 0}

# ipmi_lan(5), and lan.conf of the OpenIPMI sources for chassis_control.
LAN_CONF = """\
name "{name}"
set_working_mc 0x20
  startlan 1
    addr {address} 623
    priv_limit admin
    allowed_auths_callback none md2 md5 straight
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{chassis}"
  user 1 true "" "" user 10 none md2 md5 straight
  user 2 true "{user}" "{password}" admin 10 none md2 md5 straight
"""

# ipmi_sim_cmd(5): one management controller, with a chassis.
COMMANDS = """\
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
sel_enable 0x20 1000 0x0a
mc_enable 0x20
"""

CHASSIS = """\
#!/bin/sh
exec {python} -IS -c '
import sys
sys.path.insert(0, sys.argv.pop(1))
from kvmha.lab.chassis import main
sys.exit(main())
' {library} {folder} {node} "$@" 2>> {log}
"""


def start(host: Host, plan: LabPlan, node: NodePlan) -> None:
    """Start a node's BMC unless it runs."""
    if processes(host, plan, node):
        return
    folder = _folder(node)
    os.makedirs(f"{folder}/state", exist_ok=True)
    chassis = CHASSIS.format(
        python=shlex.quote(sys.executable),
        library=shlex.quote(os.path.dirname(os.path.dirname(os.path.abspath(kvmha.__file__)))),
        folder=shlex.quote(plan.folder),
        node=node.name,
        log=shlex.quote(f"{folder}/chassis.err"),
    )
    host.write(f"{folder}/chassis", chassis, mode=0o755)
    lan_conf = LAN_CONF.format(
        name=node.name, address=node.bmc, chassis=f"{folder}/chassis", user=BMC_USER, password=BMC_PASSWORD
    )
    host.write(f"{folder}/lan.conf", lan_conf, mode=0o600)
    host.write(f"{folder}/commands", COMMANDS)
    # fmt: off
    host.start(
        "nsenter", f"--net={network.netns_path(plan.netns)}", "--",
        "ipmi_sim", "-n", "-c", f"{folder}/lan.conf", "-f", f"{folder}/commands", "-s", f"{folder}/state",
        log=f"{folder}/ipmi_sim.log", env={MARK: plan.folder},
    )
    # fmt: on


def stop(host: Host, plan: LabPlan, node: NodePlan) -> None:
    """End a node's BMC; one that does not run is fine."""
    for pid in processes(host, plan, node):
        host.kill(pid, SIGKILL, still=_is_bmc(host, plan, node, pid), wait=10.0)


def processes(host: Host, plan: LabPlan, node: NodePlan) -> list[int]:
    """Return the process id of a node's BMC, or nothing."""
    return [pid for pid in host.pids() if _is_bmc(host, plan, node, pid)()]


def _is_bmc(host: Host, plan: LabPlan, node: NodePlan, pid: int) -> Callable[[], bool]:
    return lambda: f"{_folder(node)}/lan.conf" in host.cmdline(pid) and nodes.marked(host, pid, plan.folder)


def _folder(node: NodePlan) -> str:
    return f"{node.folder}/bmc"
