"""kvmha lab: a real cluster on this machine, made of containers and network namespaces."""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import sys

from kvmha.host import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from kvmha.lab.lab import Lab

    Progress = Callable[[str, str], None]
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_NAME = "lab"


def add(subparsers: Subparsers) -> None:
    """Add the parser of the verb and of the verbs below it."""
    parser = subparsers.add_parser(
        "lab",
        help="a real cluster on this machine, to try things and to break them",
        description="A real cluster on this machine: containers with corosync, Pacemaker, libvirt and QEMU guests, two "
        "links between them, and a management controller for each. Needs root; touches nothing outside its namespaces.",
    )
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    up = _verb(verbs, "up", _up, "make the lab and form its cluster; give back what is missing if it is there")
    up.add_argument("--nodes", type=int, default=3, help="2 or 3 nodes (default: 3)")
    up.add_argument("--suite", default="bookworm", help="Debian release of the nodes: bookworm or trixie")
    up.add_argument(
        "--kernel", default="container",
        help="what the nodes run on: container (this machine's kernel, the default) or uml (a kernel each of their "
        "own, User Mode Linux, with DRBD and a watchdog; slower) or vagrant (virtual machines by Vagrant and libvirt; "
        "slower still without KVM)",
    )  # fmt: skip
    up.add_argument(
        "--vagrant", dest="kernel", action="store_const", const="vagrant", help="the same as --kernel vagrant"
    )
    up.add_argument(
        "--sbd", default="", metavar="WAY",
        help="how virtual machines fence themselves where a management controller does not answer: disk or diskless",
    )  # fmt: skip
    up.add_argument(
        "--quorum-device", action="store_true", help="one more virtual machine, which votes in a split of two"
    )
    up.add_argument(
        "--package", metavar="FILE", help="kvmha's Debian package for the nodes (default: the newest in dist/)"
    )
    up.add_argument(
        "--bare", action="store_true", help="only nodes, and no cluster; kvmha is installed if --package is given"
    )
    text = "build the image that the nodes stand on, which up does too if it is not there"
    made = verbs.add_parser("image", help=text, description=f"{text[0].upper()}{text[1:]}.")
    made.add_argument("--suite", default="bookworm", help="Debian release of the nodes: bookworm or trixie")
    made.set_defaults(handler=_image)
    text = "build the box that virtual machines are made of, which up --vagrant does too if it is not there"
    made = verbs.add_parser("box", help=text, description=f"{text[0].upper()}{text[1:]}.")
    made.add_argument("--suite", default="bookworm", help="Debian release of the machines: bookworm or trixie")
    made.set_defaults(handler=_box)
    text = "write what vagrant up by hand gives its machines: kvmha's package, guests, keys and cluster.yaml"
    made = verbs.add_parser("site", help=text, description=f"{text[0].upper()}{text[1:]}.")
    made.add_argument("folder", metavar="FOLDER", help="where to, such as vagrant/site")
    made.add_argument("--nodes", type=int, default=2, help="2 or 3 machines (default: 2)")
    made.add_argument("--suite", default="bookworm", help="Debian release of the machines: bookworm or trixie")
    made.add_argument(
        "--quorum-device", action="store_true", help="for one more machine, which votes in a split of two"
    )
    made.set_defaults(handler=_site)
    _verb(verbs, "down", _down, "remove the lab and everything that belongs to it")
    status = _verb(verbs, "status", _status, "show nodes, links, guests and where they run")
    status.add_argument("--json", action="store_true", help="as JSON")
    shell = _verb(verbs, "shell", _shell, "run a shell, or a command, in a node")
    shell.add_argument("node", metavar="NODE")
    shell.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER, help="options of kvmha go before NODE")
    power = _verb(verbs, "power", _power, "switch the power of a node, without a word to what runs in it")
    power.add_argument("node", metavar="NODE")
    power.add_argument("state", choices=("off", "on", "cycle"))
    cut = _verb(verbs, "cut", _cut, "cut the links of a node; its management controller stays reachable")
    cut.add_argument("node", metavar="NODE")
    cut.add_argument("--link", type=int, choices=(0, 1), help="only this one")
    heal = _verb(verbs, "heal", _heal, "join all links of a node again")
    heal.add_argument("node", metavar="NODE")
    console = _verb(verbs, "console", _console, "join this terminal with the console of a guest; Ctrl-] leaves it")
    console.add_argument("guest", metavar="GUEST")
    if importlib.util.find_spec("kvmha.cli.lab_demo"):
        importlib.import_module("kvmha.cli.lab_demo").add(verbs)


def _verb(verbs: Subparsers, name: str, handler: Callable[..., int], text: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
    parser.add_argument("--name", default=DEFAULT_NAME, help=f"name of the lab (default: {DEFAULT_NAME})")
    parser.set_defaults(handler=handler)
    return parser


def _up(args: argparse.Namespace, host: Host) -> int:
    from kvmha.lab.lab import Lab
    from kvmha.lab.plan import make_plan

    begun = host.now()
    lab = Lab(
        host,
        make_plan(
            args.name,
            nodes=args.nodes,
            suite=args.suite,
            kernel=args.kernel,
            sbd=args.sbd,
            quorum_device=args.quorum_device,
        ),
    )
    with progress_printer() as progress:
        lab.up(progress, package=args.package, bare=args.bare)
    nodes = ", ".join(node.name for node in lab.plan.nodes)
    print(f"the lab {args.name} is up after {host.now() - begun:.0f} s: {nodes}")
    print(
        f"kvmha lab shell --name {args.name} n1 crm_mon -1   looks at it; kvmha lab down --name {args.name} removes it"
    )
    return 0


def _image(args: argparse.Namespace, host: Host) -> int:
    from kvmha.lab.lab import Lab
    from kvmha.lab.plan import make_plan

    begun = host.now()
    with progress_printer() as progress:
        built = Lab(host, make_plan("image", suite=args.suite)).build(progress)
    print(f"the image of {args.suite} is there after {host.now() - begun:.0f} s: {built.root}")
    return 0


def _site(args: argparse.Namespace, host: Host) -> int:
    from kvmha.lab import vagrant_site
    from kvmha.lab.machine import why_no_commands
    from kvmha.lab.plan import LabError

    if reason := why_no_commands(host):
        raise LabError(reason)
    with progress_printer() as progress:
        vagrant_site.make(
            host, args.folder, nodes=args.nodes, suite=args.suite, quorum_device=args.quorum_device, progress=progress
        )
    print(f"{args.folder}/site.tar is what vagrant up gives its machines")
    return 0


def _box(args: argparse.Namespace, host: Host) -> int:
    from kvmha.lab import box
    from kvmha.lab.machine import why_no_commands, why_no_vagrant
    from kvmha.lab.plan import LabError, make_plan

    make_plan("box", suite=args.suite)
    if reason := why_no_commands(host) or why_no_vagrant(host):
        raise LabError(reason)
    begun = host.now()
    with progress_printer() as progress:
        built = box.ensure(host, args.suite, progress)
    print(f"the box of {args.suite} is there after {host.now() - begun:.0f} s: {built.file}")
    return 0


def _down(args: argparse.Namespace, host: Host) -> int:
    from kvmha.lab.lab import remove

    remove(host, args.name)
    return 0


def _status(args: argparse.Namespace, host: Host) -> int:
    status = _find(args, host).status()
    if args.json:
        print(json.dumps(status, indent=2))
        return 0
    for line in _status_lines(status):
        print(line)
    return 0


def _status_lines(status: dict[str, Any]) -> Iterator[str]:
    kind = "a cluster" if status["is_formed"] else "no cluster yet"
    yield f"lab {status['name']}: {status['suite']} ({status['kernel']}), {kind}"
    for node in status["nodes"]:
        cut = " ".join(f"link {link} cut" for link in node["cut_links"]) or "links whole"
        bmc = f"BMC {node['bmc']}" if node["bmc_runs"] else "BMC gone"
        yield f"  {node['name']}  power {node['power']:<3}  {' '.join(node['addresses'])}  {cut}  {bmc}"
    for guest in status["guests"]:
        where = f"runs on {' and '.join(guest['nodes'])}" if guest["nodes"] else "runs nowhere"
        yield f"  {guest['name']}  {guest['address']}  {where}"
    yield f"  floating IP {status['floating_ip']}"


def _shell(args: argparse.Namespace, host: Host) -> int:
    return _find(args, host).shell(args.node, *args.command)


def _power(args: argparse.Namespace, host: Host) -> int:
    _find(args, host).power(args.node, args.state)
    return 0


def _cut(args: argparse.Namespace, host: Host) -> int:
    _find(args, host).cut(args.node, args.link)
    return 0


def _heal(args: argparse.Namespace, host: Host) -> int:
    _find(args, host).heal(args.node)
    return 0


def _console(args: argparse.Namespace, host: Host) -> int:
    return _find(args, host).console(args.guest)


def _find(args: argparse.Namespace, host: Host) -> Lab:
    from kvmha.lab.lab import find

    return find(host, args.name)


@contextlib.contextmanager
def progress_printer(*, quiet: bool = False) -> Iterator[Progress]:
    """Yield what takes (phase, text) and shows it on standard error: one moving line on a terminal, else few lines."""
    if quiet:
        yield lambda _phase, _text: None
    elif sys.stderr.isatty():
        yield from _on_terminal()
    else:
        yield _in_file()


def _on_terminal() -> Iterator[Progress]:
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status("") as status:
        yield lambda phase, text: status.update(f"{phase}: {escape(text)}")


def _in_file() -> Progress:
    """Return what prints the first word of every phase, and later ones at most once in ten seconds."""
    clock = Host()
    shown: dict[str, float] = {}

    def progress(phase: str, text: str) -> None:
        if clock.now() - shown.get(phase, float("-inf")) >= 10.0:
            shown[phase] = clock.now()
            print(f"{phase}: {text}", file=sys.stderr, flush=True)

    return progress
