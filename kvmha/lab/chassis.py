"""What a node's BMC calls to look at the power and to switch it.

ipmi_sim calls its chassis_control command with ``get power``, ``set power 0``, ``set power 1`` or ``set reset 1``,
waits for it, and reads ``power:1`` where something was asked. The agent that fences polls for the power after switching
it, so this must start fast; and it says "off" only when nothing of the node runs any more.

Each switching is written to chassis.log, with the moments (seconds since 1970) at which it was asked for and done.
"""

from __future__ import annotations

import os
import sys
import time

from kvmha.host import CommandError, Host
from kvmha.lab import power
from kvmha.lab.plan import LabError, plan_from

STATES = {("power", "0"): "off", ("power", "1"): "on", ("reset", "1"): "cycle"}


def main() -> int:
    """Do what the simulator asks for: folder of the lab, node, and the words of the simulator."""
    import json

    host = Host()
    folder, name, verb, *words = sys.argv[1:]
    plan = plan_from(json.loads(host.read(f"{folder}/plan.json")))
    node = plan.node(name)
    if verb == "get":
        for word in words:
            print(f"{word}:{int(power.is_on(host, plan, node)) if word == 'power' else 0}")
        return 0
    for what, value in zip(words[::2], words[1::2]):
        state = STATES.get((what, value))
        if state is None:
            continue
        asked = time.time()
        try:
            power.switch(host, plan, node, state)
        except (CommandError, LabError, OSError) as error:
            _log(node.folder, f"{asked:.3f} {state} failed: {error}")
            return 1
        _log(node.folder, f"{asked:.3f} {state} done {time.time():.3f}")
    return 0


def _log(folder: str, line: str) -> None:
    with open(os.path.join(folder, "bmc", "chassis.log"), "a", encoding="utf-8") as file:
        file.write(line + "\n")
