"""Fence agents (fence_*): asked with the options of a fence device, as Pacemaker's fencer would give them.

Options go to an agent's standard input, one ``name=value`` to a line (FenceAgentAPI.md of fence-agents), so that no
password shows in a list of processes.
"""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from kvmha.host import Host

SECRETS = "/var/lib/pacemaker/lrm/secrets"
"""Where a node keeps the values of options that stand in the CIB as ``lrm://`` (crm_resource's and crmsh's secrets)."""

SECRET_MARK = "lrm://"

SECRET_WORDS = ("passw", "secret", "token", "kg", "community", "snmp_auth", "snmp_priv", "apikey")
"""What is in the names of options whose values are never shown."""

STATUS, MONITOR = "status", "monitor"

IS_ON, IS_OFF = 0, 2
"""Exit codes of the action status: the target has power, or has none (FenceAgentAPI.md); 1 is a failure."""

METADATA_LIMIT = 30.0

LIMIT = 20.0
"""Seconds for one question where the device's own options say nothing; Pacemaker's default for a monitor."""


class Metadata(Record):
    """What an agent says of itself."""

    actions: tuple[str, ...]
    options: tuple[str, ...]


def program(agent: str) -> str:
    """Return the program of an agent, by the type of its resource."""
    return f"/usr/sbin/{agent}"


def metadata_argv(agent: str) -> tuple[str, ...]:
    """Return the command that prints an agent's metadata."""
    return (program(agent), "-o", "metadata")


def parse_metadata(text: str) -> Metadata:
    """Read an agent's metadata. Raises ValueError for what is no XML."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(text[max(text.find("<"), 0) :])
    except ElementTree.ParseError as error:
        raise ValueError(f"metadata that is no XML: {error}") from None
    return Metadata(
        actions=tuple(each.get("name", "") for each in root.iter("action")),
        options=tuple(each.get("name", "") for each in root.iter("parameter")),
    )


def metadata(host: Host, agent: str) -> Metadata:
    """Ask an agent for its metadata. Raises CommandError, ValueError."""
    return parse_metadata(host.run(*metadata_argv(agent), timeout=METADATA_LIMIT).out)


def question(known: Metadata) -> str:
    """Return the harmless action that proves most: the target's power, or only that the device answers."""
    return STATUS if STATUS in known.actions else MONITOR


def options(params: Mapping[str, str], known: Metadata, *, action: str, target: str) -> dict[str, str]:
    """Return what an agent is given for an action on a target.

    pcmk_* options are the fencer's own. It names the target by ``plug``, or ``port``, where the agent has one and the
    device does not say it, or by pcmk_host_argument (pacemaker-fenced(7)).
    """
    own = {name: value for name, value in params.items() if not name.startswith("pcmk_") and name != "action"}
    given = {**own, "action": params.get(f"pcmk_{action}_action", action)}
    argument = params.get("pcmk_host_argument", "") or next(
        (each for each in ("plug", "port") if each in known.options), ""
    )
    if argument and argument != "none" and not given.get(argument):
        given[argument] = plug(params, target)
    if "nodename" in known.options:
        given["nodename"] = target
    return given


def plug(params: Mapping[str, str], target: str) -> str:
    """Return what a device calls a node: pcmk_host_map has ``NODE:PLUG`` pairs, with more plugs behind commas."""
    for pair in params.get("pcmk_host_map", "").replace(";", " ").split():
        node, _, found = pair.partition(":")
        if node == target:
            return found
    return target


def given(values: Mapping[str, str]) -> str:
    """Return the text for an agent's standard input."""
    return "".join(f"{name}={value}\n" for name, value in values.items())


def with_secrets(host: Host, device: str, params: Mapping[str, str]) -> dict[str, str]:
    """Return options with the values that this node keeps in files. Raises OSError for one that is not there."""
    found = dict(params)
    for name, value in params.items():
        if value == SECRET_MARK:
            found[name] = host.read(f"{SECRETS}/{device}/{name}").strip("\n")
    return found


def without_secrets(text: str, values: Mapping[str, str]) -> str:
    """Return a sentence of an agent in which no password stands."""
    for name, value in values.items():
        if value and len(value) > 2 and any(word in name.lower() for word in SECRET_WORDS):
            text = text.replace(value, "***")
    return text
