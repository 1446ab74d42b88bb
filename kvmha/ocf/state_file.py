"""What one resource keeps on this node from its start to its stop: a few words, by name.

The files lie below /run: they go with the boot, and so does what they speak of. Whoever writes one does so on a change
only; a healthy monitor reads.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.host import Host

FOLDER = "/run/kvmha"


def path(agent: str, instance: str) -> str:
    """Return where a resource of an agent keeps its words."""
    return f"{FOLDER}/{agent}/{instance.replace('/', '_')}"


def read(host: Host, agent: str, instance: str) -> dict[str, str]:
    """Return what is kept; nothing where nothing can be read."""
    try:
        text = host.read(path(agent, instance))
    except OSError:
        return {}
    return dict(line.partition("=")[::2] for line in text.split("\n") if "=" in line)


def write(host: Host, agent: str, instance: str, words: dict[str, str]) -> None:
    """Keep these words and no others. Raises OSError."""
    text = "".join(f"{name}={' '.join(word.split())}\n" for name, word in words.items() if word)
    host.write(path(agent, instance), text, mode=0o600)


def remove(host: Host, agent: str, instance: str) -> None:
    """Keep nothing any more."""
    host.remove(path(agent, instance))
