"""A description of a cluster turned into the files that make it, by the templates in cluster-templates.

Invariant: whatever a shell script says with ``{{ value }}`` reaches its command as one word and never as
shell text, because the environment quotes it; a template cannot forget to.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
import sysconfig

import jinja2

from kvmha.cluster.description import TEMPLATES, fence_device
from kvmha.errors import UserError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.cluster.fields import ClusterDescription
    from kvmha.host import Host

MODES = {"corosync.conf": 0o644, "cib.sh": 0o700, "pcs.sh": 0o755}
"""What is rendered, and who may read it: cib.sh holds the passwords of the fence devices."""

MANIFEST = "SHA256SUMS"
"""Names and digests of a rendering, as sha256sum writes them; by it a later one knows what it may replace."""

DRAFT = ".rendering"
"""Where the files lie inside their folder until all of them are written."""


def render(description: ClusterDescription) -> dict[str, str]:
    """Return each file's text by its name. Raises UserError where the templates are not installed."""
    templates = jinja2.FileSystemLoader(_templates())
    folder = TEMPLATES[len(description.nodes)]
    return {name: _template(templates, folder, name).render(_words(description)) for name in MODES}


def write(host: Host, folder: str, files: dict[str, str]) -> None:
    """Put rendered files into a folder that is new, empty, or holds an unchanged former rendering.

    Raises UserError for any other folder, and where writing fails; what was there before is then there still.
    """
    folder = folder.rstrip("/") or "/"
    _refuse_foreign(host, folder)
    sums = "".join(f"{_digest(text)}  {name}\n" for name, text in sorted(files.items()))
    wanted = {**files, MANIFEST: sums}
    made = not host.exists(folder)
    # A draft on the same disk first: once it is complete, only renames remain, and a full disk stops none.
    draft = f"{folder}/{DRAFT}"
    try:
        for name, text in wanted.items():
            host.write(f"{draft}/{name}", text, MODES.get(name, 0o644))
        for name in wanted:
            os.replace(f"{draft}/{name}", f"{folder}/{name}")
        os.rmdir(draft)
    except OSError as error:
        for name in host.names(draft):
            host.remove(f"{draft}/{name}")
        for path in (draft, folder) if made else (draft,):
            if host.exists(path):
                os.rmdir(path)
        said = f"cannot write {folder}: {error.strerror}"
        raise UserError(f"{said}; give --out a folder that can be written") from error


def _refuse_foreign(host: Host, folder: str) -> None:
    """Raise UserError unless a folder is absent, empty, or holds a rendering that nobody changed."""
    if host.exists(folder) and not os.path.isdir(folder):
        raise UserError(f"{folder} is a file; give --out a folder that is new or empty")
    names = host.names(folder)
    if not names:
        return
    if MANIFEST not in names or not {*names} <= {*MODES, MANIFEST}:
        foreign = next(name for name in names if name not in MODES or MANIFEST not in names)
        said = f"{folder} holds {foreign}, which is no former rendering"
        raise UserError(f"{said}; give --out a folder that is new or empty")
    lines = host.read(f"{folder}/{MANIFEST}").splitlines()
    sums = dict(line.split("  ", 1)[::-1] for line in lines if "  " in line)
    for name in names:
        if name != MANIFEST and sums.get(name) != _digest(host.read(f"{folder}/{name}")):
            said = f"{folder}/{name} was changed after it was rendered"
            raise UserError(f"{said}; move the folder away, or give --out another one")


def _template(templates: jinja2.BaseLoader, folder: str, name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=templates,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        finalize=_quoted if name.endswith(".sh") else None,
    )
    environment.filters["fence_device"] = fence_device
    return environment.get_template(f"{folder}/{name}.j2")


def _words(description: ClusterDescription) -> dict[str, object]:
    """Return what templates may name: the fields of the description, as they are called in cluster.yaml."""
    return {name: getattr(description, name) for name in description._fields}


def _quoted(value: object) -> str:
    return shlex.quote(str(value))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _templates() -> str:
    """Return the folder of templates: that of the checkout, else where pip or the system's package put it."""
    checkout = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    # Debian's pip installs below /usr/local, which sysconfig knows and sys.prefix does not.
    shares = [f"{prefix}/share/kvmha" for prefix in (sysconfig.get_path("data"), sys.prefix, "/usr")]
    places = [f"{place}/cluster-templates" for place in (checkout, *shares)]
    for place in places:
        if os.path.isdir(place):
            return place
    raise UserError(f"no cluster-templates in {', '.join(dict.fromkeys(places))}; install kvmha again")
