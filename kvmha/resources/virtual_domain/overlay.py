"""The copy-on-write image of a guest: made beside its definition, as a whole or not at all."""

from __future__ import annotations

import os

from kvmha.host import CommandError, CommandMissing
from kvmha.ocf import codes
from kvmha.ocf.agent import OcfError
from kvmha.tools import qemu_img, virt_copy_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.resources.virtual_domain import VirtualDomain

LIMIT = 20.0
"""Seconds for one command of qemu-img, which only writes a few blocks."""


def image_path(config: str) -> str:
    """Return where the image of a definition lies: the same name with .qcow2 instead of its suffix."""
    return f"{os.path.splitext(config)[0]}.qcow2"


def programs(agent: VirtualDomain) -> tuple[tuple[str, str], ...]:
    """Return the programs that are needed, each with the parameter that needs it."""
    pairs = ((qemu_img.PROGRAM, "backingfile"), (virt_copy_in.PROGRAM, "copyindirs"))
    return tuple(pair for pair in pairs if agent.param(pair[1]))


def prepare(agent: VirtualDomain) -> None:
    """Make the image if it is not there, or is to be made anew. Raises OcfError; the old image is then as it was.

    A guest that still has the old one open keeps it: the new one takes over its name and not its content.
    """
    base = agent.param("backingfile")
    if not base:
        return
    path = image_path(agent.param("config"))
    if agent.host.exists(path) and not agent.param("stateless"):
        return
    draft = f"{path}.new"
    try:
        qemu_img.make_overlay(agent.host, base, draft, min(LIMIT, agent.left() * 0.3))
        folders = tuple(agent.param("copyindirs").split())
        if folders:
            virt_copy_in.copy(agent.host, draft, folders, agent.left() * 0.5)
        agent.host.rename(draft, path)
    except CommandMissing:
        _discard(agent, draft)
        raise
    except (CommandError, OSError) as error:
        _discard(agent, draft)
        raise OcfError(codes.ERR_GENERIC, f"backingfile={base}: the image {path} was not made: {error}") from None
    agent.report.log(f"made the image {path} on top of {base}")


def _discard(agent: VirtualDomain, draft: str) -> None:
    try:
        agent.host.remove(draft)
    except OSError as error:
        agent.report.log(f"{draft} is left behind: {error}", warning=True)
