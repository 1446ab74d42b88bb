"""kvmha cluster: what becomes of a cluster.yaml."""

from __future__ import annotations

import json

from kvmha.cluster import description, render

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
        description="Check a cluster.yaml and write what makes the cluster: pcs.sh and cib.sh for pcs, "
        "and corosync.conf for those who do without pcs.",
    )
    verb.add_argument("description", metavar="cluster.yaml", help="the description of the cluster")
    verb.add_argument(
        "--out", metavar="DIR", required=True,
        help="where to: a folder that is new, empty, or holds a former rendering that nobody changed",
    )  # fmt: skip
    verb.add_argument("--json", action="store_true", help="print what was written as JSON")
    verb.set_defaults(handler=render_files)


def render_files(args: argparse.Namespace, host: Host) -> int:
    """Write all files or none."""
    wanted = description.load(host, args.description)
    files = render.render(wanted)
    render.write(host, args.out, files)
    first = wanted.nodes[0].name
    if args.json:
        said = {"cluster": wanted.cluster, "run_on": first, "folder": args.out, "files": sorted(files)}
        print(json.dumps(said))
        return 0
    for name in sorted(files):
        print(f"wrote {args.out.rstrip('/')}/{name}")
    print(f"Copy pcs.sh and cib.sh to {first} and run there as root: HACLUSTER_PASSWORD=... sh pcs.sh")
    return 0
