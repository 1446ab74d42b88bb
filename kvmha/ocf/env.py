"""What Pacemaker tells an agent through its arguments and environment, read once into one value."""

from __future__ import annotations

from kvmha.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PARAM = "OCF_RESKEY_"
_META = "OCF_RESKEY_CRM_meta_"


class OcfEnv(Record):
    """One call of an agent."""

    action: str
    instance: str = "default"
    """The resource's id, with ``:N`` for the instances of a globally unique clone."""
    params: dict[str, str] = {}  # noqa: RUF012 (a default that nobody changes: records are frozen)
    """The instance attributes as text, by name."""
    interval: float = 0.0
    """Seconds between two runs of a recurring monitor; 0 for everything else."""
    timeout: float | None = None
    """Seconds after which Pacemaker kills the agent, or None when it did not say."""
    check_level: int = 0
    node: str = ""
    """The cluster's name for this node, where Pacemaker passes it."""
    migrate_source: str = ""
    migrate_target: str = ""
    meta: dict[str, str] = {}  # noqa: RUF012 (as above)
    """All that Pacemaker tells of the call beside the instance attributes, by name: of a clone, of a notification."""
    exit_reason_prefix: str = "ocf-exit-reason:"

    @property
    def is_probe(self) -> bool:
        """Tell whether this is the question "is it here?" and not "is it well?"."""
        return self.action in ("monitor", "status") and not self.interval

    @property
    def is_plain_clone(self) -> bool:
        """Tell whether this is an instance of a clone that is not promotable (Pacemaker before 2.1: master_max)."""
        return "clone_max" in self.meta and not {"promoted_max", "master_max"} & self.meta.keys()

    @property
    def notification(self) -> str:
        """What a notification is about: ``pre-start``, ``post-demote`` and so on; ``-`` for any other action."""
        return f"{self.meta.get('notify_type', '')}-{self.meta.get('notify_operation', '')}"

    def notified(self, what: str) -> tuple[str, ...]:
        """Return the nodes of which a notification says something: ``promote``, ``stop``, ``active`` and so on."""
        return tuple(self.meta.get(f"notify_{what}_uname", "").split())

    @classmethod
    def from_environ(cls, arguments: Sequence[str], environ: Mapping[str, str]) -> OcfEnv:
        """Read a call from an agent's arguments (the action alone) and environment.

        The names are those of Pacemaker's executor (Pacemaker Explained, "OCF resource agents"; times are
        milliseconds).
        """
        params = {
            key[len(_PARAM) :]: value
            for key, value in environ.items()
            if key.startswith(_PARAM) and not key.startswith((_META, f"{_PARAM}crm_"))
        }
        meta = {key[len(_META) :]: value for key, value in environ.items() if key.startswith(_META)}
        timeout_ms = _number(environ.get(f"{_META}timeout"))
        return cls(
            action=arguments[0] if arguments else "",
            instance=environ.get("OCF_RESOURCE_INSTANCE") or "default",
            params=params,
            interval=_number(environ.get(f"{_META}interval")) / 1000,
            timeout=timeout_ms / 1000 if timeout_ms > 0 else None,
            check_level=int(_number(environ.get("OCF_CHECK_LEVEL"))),
            node=environ.get(f"{_META}on_node", ""),
            migrate_source=environ.get(f"{_META}migrate_source", ""),
            migrate_target=environ.get(f"{_META}migrate_target", ""),
            meta=meta,
            exit_reason_prefix=environ.get("OCF_EXIT_REASON_PREFIX", "ocf-exit-reason:"),
        )


def _number(text: str | None) -> float:
    """Read a number that the cluster manager wrote; what is no number counts as not given."""
    return float(text) if text and text.isascii() and text.isdigit() else 0.0
