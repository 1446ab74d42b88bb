"""A lab: a real cluster on one machine, brought up, broken, looked at, and removed without a trace.

Every operation may be repeated, and each can be undone. The plan is written before anything is made, and the mark
``up`` after everything is; a lab that has the one without the other was interrupted, and can only be removed.
"""

from __future__ import annotations

import json
import os
import shutil

from kvmha.host import PATH
from kvmha.lab import bmc, guest, hypervisor, image, layer, leftovers, logs, network, nodes, power, uml, vagrant
from kvmha.lab import package as package_file
from kvmha.lab.ground import Ground, write_ground
from kvmha.lab.lock import Lock
from kvmha.lab.machine import why_no_commands, why_no_room, why_no_vagrant
from kvmha.lab.plan import (
    LINKS,
    SIZES,
    UML,
    VAGRANT,
    LabError,
    LabPlan,
    make_plan,
    plan_from,
    state_folder,
    why_not_name,
)
from kvmha.record import plain
from kvmha.tools import qemu_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from kvmha.host import Completed, Host
    from kvmha.lab.image import Progress
    from kvmha.lab.plan import NodePlan

BOOT_TIMEOUT = 120.0
OWN_KERNEL_BOOT_TIMEOUT = 300.0
"""With sbd, a node that boots waits before it joins, and the processors may be emulated."""


def load(host: Host, name: str) -> LabPlan | None:
    """Return the plan of a lab that was made, or None. Raises LabError."""
    reason = why_not_name(name)
    if reason:
        raise LabError(f"--name: {name!r} cannot name a lab: {reason}")
    try:
        return plan_from(json.loads(host.read(f"{state_folder()}/{name}/plan.json")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError):
        # Written as a whole, it can only be of another version of kvmha.
        raise LabError(
            f"the lab {name} is not one that this kvmha knows; kvmha lab down --name {name} removes it"
        ) from None


def find(host: Host, name: str) -> Lab:
    """Return a lab that is up. Raises LabError if there is none of that name, or only half of one."""
    if reason := why_no_commands(host):
        raise LabError(reason)
    plan = load(host, name)
    if plan is None:
        raise LabError(f"there is no lab named {name}; kvmha lab up --name {name} makes it")
    lab = Lab(host, plan)
    if not lab.is_up():
        raise LabError(
            f"the lab {name} is half up, an earlier run was interrupted; kvmha lab down --name {name} removes it"
        )
    return lab


def remove(host: Host, name: str) -> None:
    """Remove the lab of that name, if it exists, and whatever there is of it. Raises LabError for no name of a lab."""
    if reason := why_no_commands(host):
        raise LabError(reason)
    # The largest lab of that name has all that any lab of that name can have, whatever became of its plan.
    Lab(host, make_plan(name, nodes=max(SIZES))).down()


class Lab:
    """One lab, by its plan; nothing is made or looked at until a method is called."""

    def __init__(self, host: Host, plan: LabPlan) -> None:
        self.host = host
        self.plan = plan

    # ----------------------------------------------------------- up and down

    def is_up(self) -> bool:
        """Tell whether the lab was brought up to the end."""
        return self.host.exists(f"{self.plan.folder}/up")

    def up(self, progress: Progress, *, package: str | None = None, bare: bool = False) -> None:
        """Bring the nodes up, each with its BMC, install kvmha in them and form a cluster that runs all guests.

        ``package`` is kvmha's Debian package, by default the newest that the checkout has built. With ``bare`` there
        are nodes and no cluster, and no package unless one is given. On a lab that is up what is missing is brought
        back: a node without power, a BMC that has gone, the cluster of a bare lab.

        If the nodes do not come up nothing is left; if no cluster comes of them, they stay and can be looked at.

        Raises LabError, CommandError.
        """
        if reason := why_no_commands(self.host):
            raise LabError(reason)
        with self._lock():
            existing = load(self.host, self.plan.name)
            if existing is None:
                self._make(progress, package, bare=bare)
            else:
                self._refuse(existing, package)
                self._start(progress)
            if not bare and not self.host.exists(f"{self.plan.folder}/formed"):
                # Its templates need libraries that no other verb does.
                from kvmha.lab import formation

                formation.form(self.host, self, progress)
                self.host.write(f"{self.plan.folder}/formed", "")

    def build(self, progress: Progress) -> image.Image:
        """Build what all labs of the suite stand on, if it is not there, and no lab. Raises LabError, CommandError."""
        if reason := why_no_commands(self.host):
            raise LabError(reason)
        return self._ensure(progress)[0]

    def _ensure(self, progress: Progress) -> tuple[image.Image, guest.Kit]:
        built = image.ensure(self.host, self.plan.suite, progress)
        if self.plan.kernel == UML and (reason := uml.why_not(built)):
            raise LabError(reason)
        return built, guest.ensure(self.host, built, progress)

    def _refuse(self, existing: LabPlan, package: str | None) -> None:
        """Raise LabError if the lab that is there cannot become the one that is asked for."""
        name = self.plan.name
        way = f"kvmha lab down --name {name} removes it"
        if existing != self.plan:
            kind = f"{len(existing.nodes)} nodes ({existing.kernel}) of {existing.suite}"
            raise LabError(f"the lab {name} is there already, with {kind}; {way}")
        if not self.is_up():
            raise LabError(f"the lab {name} is half up, an earlier run was interrupted; {way}")
        installed = self.host.read(f"{self.plan.folder}/package")
        if package is not None and package_file.digest(package_file.find(package)) != installed:
            raise LabError(f"the lab {name} is there already, with another package than {package}; {way}")

    def _make(self, progress: Progress, given: str | None, *, bare: bool) -> None:
        try:
            package = package_file.find(given) if given is not None or not bare else None
            reason = why_no_room(self.host, self.plan)
            if reason is None and self.plan.kernel == VAGRANT:
                reason = why_no_vagrant(self.host)
            if reason:
                raise LabError(reason)
        except LabError:
            # There is nothing yet but the lock.
            shutil.rmtree(self.plan.folder)
            raise
        try:
            self.host.write(f"{self.plan.folder}/plan.json", json.dumps(plain(self.plan), indent=1))
            self.host.write(f"{self.plan.folder}/package", package_file.digest(package) if package else "")
            built, kit = self._ensure(progress)
            progress("nodes", f"installing {os.path.basename(package)}" if package else "preparing")
            is_vagrant = self.plan.kernel == VAGRANT
            # Machines install the package themselves, as hosts do.
            own = layer.make(self.host, self.plan, built, kit, None if is_vagrant else package)
            write_ground(self.host, self.plan, self._ground(own, built, kit))
            if is_vagrant:
                self._make_machines(progress, own, built, kit, package)
            self._start(progress)
            self.host.write(f"{self.plan.folder}/up", "")
        except BaseException:
            # Whatever it was, also an impatient ^C: what is half made is of no use to anyone.
            self._remove()
            raise

    def _make_machines(
        self, progress: Progress, own: str, built: image.Image, kit: guest.Kit, package: str | None
    ) -> None:  # fmt: skip
        # Its templates need libraries that no other verb does.
        from kvmha.lab import box, vagrant_site

        made = box.ensure(self.host, self.plan.suite, progress)
        site = f"{self.plan.folder}/site"
        vagrant_site.write(self.host, self.plan, site, own)
        if package:
            vagrant_site.add_package(self.host, built, site, package)
        vagrant_site.pack(site)
        network.make_lab_network(self.host, self.plan)
        hypervisor.start(self.host, self.plan)
        vagrant.make(self.host, self.plan, made, kvm=kit.kvm, progress=progress)

    def _ground(self, own: str, built: image.Image, kit: guest.Kit) -> Ground:
        if self.plan.kernel == UML:
            # There is no KVM within User Mode Linux.
            return Ground(layers=(own, *uml.layers(built)), kvm=False, kernel=f"{built.uml}/linux.uml")
        return Ground(layers=(own, built.root), kvm=kit.kvm)

    def _start(self, progress: Progress) -> None:
        # It is gone after the machine itself was started anew, and so are the nodes; their files are still there.
        network.make_lab_network(self.host, self.plan)
        if self.plan.kernel == VAGRANT:
            hypervisor.start(self.host, self.plan)
            if reason := vagrant.why_incomplete(self.host, self.plan):
                raise LabError(reason)
        progress("nodes", "booting " + ", ".join(node.name for node in self.plan.nodes))
        for node in self.plan.nodes:
            bmc.start(self.host, self.plan, node)
            power.switch(self.host, self.plan, node, "on")
        for node in self.plan.nodes:
            self.wait_booted(node.name)

    def down(self) -> None:
        """Remove the lab and all that belongs to it, however far it had come. It is fine if there is none."""
        if not self.host.exists(self.plan.folder) and not leftovers.exist(self.host, self.plan):
            image.remove_abandoned(self.host)
            return
        with self._lock():
            self._remove()
        image.remove_abandoned(self.host)

    def _remove(self) -> None:
        for node in self.plan.nodes:
            bmc.stop(self.host, self.plan, node)
        for node in self.plan.nodes:
            nodes.stop(self.host, self.plan, node)
        leftovers.remove(self.host, self.plan)
        shutil.rmtree(self.plan.folder, ignore_errors=True)

    def _lock(self) -> Lock:
        name = self.plan.name
        return Lock(self.host, f"{self.plan.folder}/lock", wait=5.0, busy=f"another run is working on the lab {name}")

    # --------------------------------------------------------------- looking

    def leader(self, name: str) -> int | None:
        """Return the process id, on this machine, of a node's first process; None if it has no power."""
        return nodes.leader(self.host, self.plan, self.plan.node(name))

    def status(self) -> dict[str, Any]:
        """Return what there is of the lab, as the values of a JSON document."""
        return {
            "name": self.plan.name,
            "suite": self.plan.suite,
            "kernel": self.plan.kernel,
            "is_up": self.is_up(),
            "is_formed": self.host.exists(f"{self.plan.folder}/formed"),
            "floating_ip": self.plan.floating_ip,
            "nodes": [self._node_status(node) for node in self.plan.nodes],
            "guests": [self._guest_status(planned.name) for planned in self.plan.guests],
        }

    def _node_status(self, node: NodePlan) -> dict[str, Any]:
        return {
            "name": node.name,
            "power": "on" if power.is_on(self.host, self.plan, node) else "off",
            "addresses": list(node.addresses),
            "cut_links": list(network.cut_links(self.host, node)),
            "bmc": node.bmc,
            "bmc_runs": bool(bmc.processes(self.host, self.plan, node)),
        }

    def _guest_status(self, name: str) -> dict[str, Any]:
        planned = self.plan.guest(name)
        return {"name": name, "uuid": planned.uuid, "address": planned.address, "nodes": self.where(name)}

    def where(self, name: str) -> list[str]:
        """Return the nodes on which a guest's QEMU process exists, by its UUID."""
        wanted = self.plan.guest(name).uuid
        return [node.name for node in self.plan.nodes if wanted in self._guests_on(node)]

    def _guests_on(self, node: NodePlan) -> set[str]:
        """Return the UUIDs of the guests that have a QEMU process on a node."""
        if self.plan.has_kernels:
            found = uml.qemu_processes(self.host, self.plan, node) if self.leader(node.name) is not None else []
        else:
            found = [self.host.cmdline(pid) for pid in nodes.members(self.host, node)]
        identities = (qemu_process.parse_cmdline(cmdline) for cmdline in found)
        return {identity.uuid for identity in identities if identity is not None}

    def collect_logs(self, folder: str) -> None:
        """Copy journals, logs and the cluster's own view of all nodes, the dead ones too, into a folder."""
        logs.collect(self.host, self, folder)

    # -------------------------------------------------------------- breaking

    def power(self, name: str, state: str) -> None:
        """Bring a node to "off" or "on", or through "cycle", as a finger on the switch would."""
        power.switch(self.host, self.plan, self.plan.node(name), state)

    def wait_booted(self, name: str) -> None:
        """Wait until a node that was given power has started all that it starts at boot. Raises CommandError."""
        timeout = OWN_KERNEL_BOOT_TIMEOUT if self.plan.has_kernels else BOOT_TIMEOUT
        nodes.wait_booted(self.host, self.plan, self.plan.node(name), timeout=timeout)

    def cut(self, name: str, link: int | None = None) -> None:
        """Cut one link of a node, or all but the management network."""
        network.cut(self.host, self.plan, self.plan.node(name), LINKS if link is None else (link,))

    def heal(self, name: str) -> None:
        """Join all links of a node again."""
        network.heal(self.host, self.plan, self.plan.node(name))

    # ------------------------------------------------------ working in nodes

    def run(
        self, name: str, *argv: str, timeout: float, ok: tuple[int, ...] | None = (0,), given: str = "",
        env: dict[str, str] | None = None,
    ) -> Completed:  # fmt: skip
        """Run a command in a node as Host.run does on the machine. Raises LabError if the node has no power."""
        words = self.enter_argv(name, *argv)
        return self.host.run(*words, timeout=timeout, ok=ok, given=given, env={"HOME": "/root", **(env or {})})

    def copy_in(self, name: str, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a file in a node that has power."""
        script = 'mkdir -p "${1%/*}" && cat > "$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"'
        self.run(name, "sh", "-c", script, "kvmha-lab", path, f"{mode:o}", timeout=30.0, given=text)

    def shell(self, name: str, *argv: str) -> int:
        """Run a command, or a shell, in a node on the caller's terminal; return its exit code."""
        words = self.enter_argv(name, *(argv or ("bash", "--login")))
        return self.host.interact(*words, env={"HOME": "/root", "PATH": ":".join(PATH)})

    def console(self, name: str) -> int:
        """Join the caller's terminal with a guest's serial console; return the exit code. Raises LabError."""
        where = self.where(name)
        if not where:
            raise LabError(f"the guest {name} runs on no node of the lab {self.plan.name}")
        return self.shell(where[0], "virsh", "console", name, "--force")

    def enter_argv(self, name: str, *argv: str) -> tuple[str, ...]:
        """Return the command that runs a command in a node. Raises LabError if the node has no power."""
        pid = self.leader(name)
        if pid is None:
            raise LabError(
                f"the node {name} has no power; kvmha lab power --name {self.plan.name} {name} on gives it back"
            )
        return nodes.enter_argv(self.plan, self.plan.node(name), pid, argv)
