"""What a guest takes of its host, told to the cluster for its placement: at a start and an arrival, and never else."""

from __future__ import annotations

from kvmha.host import CommandError
from kvmha.tools import crm_resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.policy.model import GuestIdentity
    from kvmha.resources.virtual_domain import VirtualDomain
    from kvmha.tools.libvirtd import Libvirt

LIMIT = 10.0
"""Seconds for one question to the cluster, or one write."""

SPARE = 5.0
"""Seconds of the action that are left for its end; with no more than that, nothing is written."""


def write(agent: VirtualDomain, guest: GuestIdentity, libvirt: Libvirt) -> None:
    """Write the utilization attributes that the parameters ask for; a failure is logged, and fails nothing."""
    names = {
        "autoset_utilization_cpu": "cpu",
        "autoset_utilization_host_memory": "host_memory",
        "autoset_utilization_hv_memory": "hv_memory",
    }
    wanted = [attribute for parameter, attribute in names.items() if agent.param(parameter)]
    if not wanted:
        return
    try:
        size = libvirt.size(guest)
        if size is None:
            return
        # The instances of a clone share their configuration.
        resource = agent.env.instance.partition(":")[0]
        for name in wanted:
            value = size.cpus if name == "cpu" else size.memory_mib
            timeout = min(LIMIT, agent.left(SPARE) / 2)
            if timeout <= 0:
                agent.report.log(f"no time is left to write the utilization {name} of {guest.label}", warning=True)
                return
            if crm_resource.keep_utilization(agent.host, resource, name, value, timeout):
                agent.report.log(f"wrote the utilization {name}={value} of {guest.label}")
    except CommandError as error:
        agent.report.log(f"could not write the utilization of {guest.label}: {error}", warning=True)
