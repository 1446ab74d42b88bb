"""kvmha cluster: what becomes of a cluster.yaml."""

from __future__ import annotations

import json

from kvmha.cli import cluster_apply, cluster_check
from kvmha.cluster import description, folder, render

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from typing import Any

    from kvmha.host import Host


def add(subparsers: Any) -> None:
    """Add the verb with its subverbs to the command line."""
    parser = subparsers.add_parser("cluster", help="turn a cluster.yaml into a cluster", description=__doc__)
    verbs = parser.add_subparsers(title="verbs", metavar="VERB", required=True)
    verb = verbs.add_parser(
        "render",
        help="write the files that make the cluster",
        description="Check a cluster.yaml and write what makes the cluster: its configuration for pcs, crmsh or "
        "Pacemaker's own tools, corosync.conf, and the files of the nodes. README.md there says what to do with them.",
    )
    verb.add_argument("description", metavar="cluster.yaml", help="the description of the cluster")
    verb.add_argument(
        "--out", metavar="DIR", required=True,
        help="where to: a folder that is new, empty, or holds a former rendering that nobody changed",
    )  # fmt: skip
    verb.add_argument(
        "--flavour", choices=tuple(render.FLAVOURS), default="pcs",
        help="the tool that makes the cluster: pcs (the default), crmsh, or Pacemaker's own cibadmin",
    )  # fmt: skip
    verb.add_argument("--json", action="store_true", help="print what was written as JSON")
    verb.set_defaults(handler=render_files)
    cluster_check.add(verbs)
    cluster_apply.add(verbs)


def render_files(args: argparse.Namespace, host: Host) -> int:
    """Write all files or none."""
    wanted = description.load(host, args.description)
    files = render.render(wanted, args.flavour)
    folder.write(host, args.out, files, render.mode_of)
    first, out = wanted.nodes[0].name, args.out.rstrip("/")
    script = render.FLAVOURS[args.flavour][0]
    if args.json:
        said = {"cluster": wanted.cluster, "run_on": first, "run": script, "folder": args.out, "files": sorted(files)}
        print(json.dumps(said))
        return 0
    for name in sorted(files):
        print(f"wrote {out}/{name}")
    password = "HACLUSTER_PASSWORD=... " if args.flavour == "pcs" else ""
    print(f"Copy the folder to every node, and run there as root: sh node.sh; then on {first}: {password}sh {script}")
    return 0
