"""Pacemaker's configuration (CIB): read from XML into the values of ``kvmha.tools.cib.records``.

The only reader of CIB XML. It takes what the schemas of Pacemaker 2.0 to 3.0 allow, references (id-ref) resolved;
what it does not know it keeps and names in ``Cib.unread`` instead of failing.
"""

from __future__ import annotations

from lxml import etree

from kvmha.errors import UserError
from kvmha.host import CommandFailed
from kvmha.tools.cib.reader import Reader
from kvmha.tools.cib.records import (
    INFINITY,
    STONITH,
    Alert,
    Cib,
    Colocation,
    Expression,
    FencingLevel,
    Location,
    Node,
    Operation,
    OptionSet,
    Order,
    Recipient,
    Resource,
    ResourceSet,
    Rule,
    Tag,
    Ticket,
    Unread,
)  # fmt: skip
from kvmha.tools.cib.words import is_true, milliseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any as Element

    from kvmha.host import Host

__all__ = [
    "Alert", "Cib", "Colocation", "Expression", "FencingLevel", "INFINITY", "Location", "Node", "Operation",
    "OptionSet", "Order", "Recipient", "Resource", "ResourceSet", "Rule", "STONITH", "Tag", "Ticket", "Unread",
    "change", "is_true", "live", "milliseconds", "query_argv", "read", "resource_of", "text_of", "tree",
]  # fmt: skip

PROGRAM = "cibadmin"


def query_argv() -> tuple[str, ...]:
    """Return the command that prints the live CIB, state of the nodes included (cibadmin(8))."""
    return (PROGRAM, "--query")


def live(host: Host, *, timeout: float = 30.0) -> str:
    """Return the XML of the CIB of the cluster that this host is in. Raises CommandError."""
    return host.run(*query_argv(), timeout=timeout).out


def held(host: Host, resource: str, *, timeout: float) -> str:
    """Return the node on which a resource is held for a move with its disks; nothing where it is not.

    Raises CommandError.
    """
    from kvmha.tools.cib import moves

    try:
        return moves.held(tree(live(host, timeout=timeout)), resource)
    except UserError:
        return ""


def tree(text: str | bytes, source: str = "the CIB") -> Element:
    """Return the root of a document. Raises UserError for what is no CIB; entities are not expanded."""
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_blank_text=True)
    try:
        root = etree.fromstring(text.encode() if isinstance(text, str) else text, parser)
    except etree.XMLSyntaxError as error:
        raise UserError(f"{source} is no XML: {error.msg}; give what cibadmin --query prints") from None
    if root.tag != "cib" or root.find("configuration") is None:
        raise UserError(f"{source} has no <configuration> in a <cib>; give what cibadmin --query prints")
    return root


def text_of(root: Element) -> str:
    """Return a document as text, indented."""
    return _text(root, pretty_print=True)


def _text(element: Element, *, pretty_print: bool = False) -> str:
    text: str = etree.tostring(element, encoding="unicode", pretty_print=pretty_print, with_tail=False)
    return text


def read(text: str | bytes, source: str = "the CIB") -> Cib:
    """Read a whole CIB from XML. Raises UserError where it is none; ``source`` names it there."""
    return Reader(tree(text, source), _text).cib()


def resource_of(element: Element) -> Resource:
    """Read one resource of a document, with what is inside it."""
    return Reader(element.getroottree().getroot(), _text).resource(element, "")


def change(host: Host, edit: Callable[[Element], None], *, timeout: float = 60.0) -> None:
    """Change the live configuration in one transaction: ``edit`` is given the root, and changes it in place.

    What others write at the same time is never overwritten: a patch fits one version only, and when that has passed,
    ``edit`` is given the next. Raises CommandError, and what ``edit`` raises.
    """
    until = host.now() + timeout
    while True:
        before = live(host, timeout=timeout)
        root = tree(before)
        version = {word: root.get(word) for word in VERSION}
        edit(root)
        if text_of(root) == text_of(tree(before)):
            return
        # A patch leads from one version to a later one; the manager of the CIB takes no other.
        root.set("epoch", str(int(version["epoch"] or 0) + 1))
        root.set("num_updates", "0")
        patch = difference(host, before, text_of(root))
        try:
            host.run(PROGRAM, "--patch", "--xml-pipe", given=patch, timeout=timeout)
            return
        except CommandFailed:
            now = tree(live(host, timeout=timeout))
            if all(now.get(word) == version[word] for word in VERSION) or host.now() > until:
                raise


VERSION = ("admin_epoch", "epoch", "num_updates")
"""The attributes of the root that together count every change, those of the status section included."""


def difference(host: Host, before: str, after: str) -> str:
    """Return the patch that makes the second CIB of the first, for cibadmin --patch; empty for none."""
    import os

    paths = [f"{DRAFTS}/cib-{os.getpid()}-{word}.xml" for word in ("before", "after")]
    try:
        for path, text in zip(paths, (before, after)):
            # A CIB holds the passwords of the fence devices.
            host.write(path, text, mode=0o600)
        # crm_diff(8) exits with 1 where the two differ.
        return host.run("crm_diff", "--original", paths[0], "--new", paths[1], timeout=30.0, ok=(0, 1)).out
    finally:
        for path in paths:
            host.remove(path)


DRAFTS = "/run/kvmha"
