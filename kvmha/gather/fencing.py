"""The paths by which nodes can be fenced, and what comes of trying those of this node.

Nothing here switches anything: an agent is asked for its target's power, or whether its device answers.
"""

from __future__ import annotations

from kvmha.cluster.facts import of_files
from kvmha.errors import UserError
from kvmha.host import CommandError, CommandTimeout
from kvmha.policy import fencing_proof
from kvmha.policy.fencing_proof import ANSWERS, FAILED, OFF, ON, Path, Trial
from kvmha.tools import cib as cib_reader
from kvmha.tools import crm_attribute, fence_agent
from kvmha.tools.cib import milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kvmha.cluster.facts import Facts
    from kvmha.cluster.facts.records import FenceDevice
    from kvmha.host import Host
    from kvmha.tools.fence_agent import Metadata

INSIDE = ("fence_watchdog",)
"""Agents that only the fencer itself can carry out: there is nobody to ask."""

SWITCH_LIMIT = 60.0
"""Seconds to switch one device."""

CLUSTER_LIMIT = 20.0
"""Seconds for the cluster to take over an attribute."""


def live(host: Host) -> Facts:
    """Return the running cluster's configuration. Raises CommandError, UserError."""
    return of_files(cib=cib_reader.live(host), cib_source="live", source="live")


def paths(facts: Facts) -> tuple[Path, ...]:
    """Return every path of a configuration: by each device that is for a node, from each node that may use it.

    The fencer of any node uses a device that no location constraint keeps away from there, whether or not that is the
    node on which the device is said to run (Pacemaker Explained, Fencing); and a node does not fence itself while
    there is another one.
    """
    found = []
    for target in facts.member_names:
        for level in facts.fencing_of(target):
            for device in level:
                users = [node for node in facts.node_names if node != target and node not in device.banned]
                found += [Path(device=device.id, target=target, node=node) for node in users]
    return tuple(dict.fromkeys(path for path in found if _agent_of(facts, path.device) not in INSIDE))


def trials(facts: Facts) -> tuple[Trial, ...]:
    """Return what all nodes have written down of their trials."""
    nodes = facts.cib.nodes if facts.cib is not None else ()
    return fencing_proof.trials_of({node.name: node.attributes for node in nodes})


def try_here(host: Host, facts: Facts, known: Iterable[Path], *, count: int) -> tuple[Trial, ...]:
    """Try paths of this node, each so many times; the devices at the same time, one device's targets in turn."""
    by_device: dict[str, list[Path]] = {}
    for path in known:
        by_device.setdefault(path.device, []).append(path)
    devices = {device.id: device for device in facts.fence_devices}
    calls = [
        lambda device=devices[name], mine=mine: _try_device(host, device, mine, count)
        for name, mine in by_device.items()
    ]
    most = max((limit(devices[name]) * count * len(mine) for name, mine in by_device.items()), default=1.0)
    bound = most + fence_agent.METADATA_LIMIT + 5.0
    made: list[Trial] = []
    for mine, found in zip(by_device.values(), host.together(calls, what="the fence devices", timeout=bound)):
        if isinstance(found, BaseException):
            if not isinstance(found, CommandError):
                raise found
            made += [_failed(host, path, str(found)) for path in mine]
        else:
            made += found
    return tuple(made)


def keep(host: Host, node: str, facts: Facts, made: Iterable[Trial]) -> None:
    """Write this node's trials into its attribute, where every node of the cluster finds them. Raises CommandError."""
    mine = [path for path in paths(facts) if path.node == node]
    before = [trial for trial in trials(facts) if trial.node == node]
    text = fencing_proof.written(fencing_proof.merged(before, made, mine))
    argv = crm_attribute.node_argv(node, fencing_proof.ATTRIBUTE, text)
    host.run(*argv, timeout=CLUSTER_LIMIT)


def switch(host: Host, facts: Facts, target: str, here: str, action: str) -> str:
    """Switch a node's power off or on by its fence devices, from this node and past the cluster; or ask for ``status``.

    Returns ``on``, ``off``, or ``mixed`` for several devices that differ. Raises UserError, CommandError, OSError.
    """
    states = set()
    for device in chosen(facts, target, here):
        known = fence_agent.metadata(host, device.agent)
        params = fence_agent.with_secrets(host, device.id, device.params)
        values = fence_agent.options(params, known, action=action, target=target)
        program = fence_agent.program(device.agent)
        try:
            done = host.run(
                program, given=fence_agent.given(values), timeout=SWITCH_LIMIT,
                ok=_answers(fence_agent.STATUS) if action == fence_agent.STATUS else (0,),
            )  # fmt: skip
        except CommandError as error:
            raise CommandError((program,), f"{action}: {fence_agent.without_secrets(str(error), params)}") from None
        states.add(OFF if done.rc == fence_agent.IS_OFF else ON)
    if action != fence_agent.STATUS:
        return action
    return states.pop() if len(states) == 1 else "mixed"


def chosen(facts: Facts, target: str, here: str) -> tuple[FenceDevice, ...]:
    """Return the devices by which a node is switched from this one. Raises UserError where there are none.

    Devices without levels are one alternative each; those of one level switch one power supply each.
    """
    for level in facts.fencing_of(target):
        if all(here not in device.banned for device in level):
            return tuple(level)
    raise UserError(f"no fence device of {target} may be used from {here}")


def limit(device: FenceDevice) -> float:
    """Return the seconds that one question to a device may take, by the device's own options."""
    for name in ("pcmk_status_timeout", "pcmk_monitor_timeout"):
        read = milliseconds(device.params.get(name, "")) if device.params.get(name) else None
        if read:
            return read / 1000.0
    return fence_agent.LIMIT


def _agent_of(facts: Facts, name: str) -> str:
    return next((device.agent for device in facts.fence_devices if device.id == name), "")


def _try_device(host: Host, device: FenceDevice, mine: list[Path], count: int) -> list[Trial]:
    try:
        began = host.now()
        known = fence_agent.metadata(host, device.agent)
        started = round(host.now() - began, 3)
        params = fence_agent.with_secrets(host, device.id, device.params)
    except (CommandError, ValueError) as error:
        return [_failed(host, path, f"{device.agent}: {error}") for path in mine]
    except OSError as error:
        said = f"a secret of {device.id} is not on this node: {error.filename}: {error.strerror}"
        return [_failed(host, path, said) for path in mine]
    return [_try(host, device, params, known, path, count).replace(start_s=started) for path in mine]


def _try(host: Host, device: FenceDevice, params: Mapping[str, str], known: Metadata, path: Path, count: int) -> Trial:
    action = fence_agent.question(known)
    values = fence_agent.options(params, known, action=action, target=path.target)
    seconds: list[float] = []
    state = FAILED
    for _ in range(count):
        began = host.now()
        try:
            done = host.run(
                fence_agent.program(device.agent), timeout=limit(device), ok=_answers(action),
                given=fence_agent.given(values),
            )  # fmt: skip
        except CommandError as error:
            # An agent says several things when it fails, and the last line may be empty.
            said = f"no answer in {limit(device):g} s" if isinstance(error, CommandTimeout) else str(error)
            return _failed(host, path, fence_agent.without_secrets(said, params)).replace(seconds=tuple(seconds))
        seconds.append(round(host.now() - began, 3))
        state = ANSWERS if action != fence_agent.STATUS else ON if done.rc == fence_agent.IS_ON else OFF
    return Trial(
        device=path.device, target=path.target, node=path.node, at=host.wall_clock(), state=state,
        seconds=tuple(seconds),
    )  # fmt: skip


def _answers(action: str) -> tuple[int, ...]:
    return (fence_agent.IS_ON, fence_agent.IS_OFF) if action == fence_agent.STATUS else (0,)


def _failed(host: Host, path: Path, said: str) -> Trial:
    return Trial(
        device=path.device, target=path.target, node=path.node, at=host.wall_clock(), state=FAILED, said=said
    )  # fmt: skip
