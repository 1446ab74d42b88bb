"""OCF 1.1 metadata from an agent's table.

One document must please four readers that disagree: Pacemaker's and pcs's RNG for OCF 1.1, the DTD of ocf-tester,
which is older than ``unique-group``, ``reloadable`` and ``reload-agent``, and crmsh. The internal subset below adds
those to the DTD without touching what the other readers see.
"""

from __future__ import annotations

from kvmha import __version__
from kvmha.ocf.spec import Action, Param

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent

_HEAD = """<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd" [
  <!ATTLIST parameter unique-group CDATA #IMPLIED reloadable (0|1) #IMPLIED>
  <!ATTLIST action name CDATA #REQUIRED>
]>
"""


def render(agent: type[Agent]) -> str:
    """Return an agent's metadata document."""
    lines = [
        f"{_HEAD}<resource-agent name={_quoted(agent.name)} version={_quoted(__version__)}>",
        "  <version>1.1</version>",
        f'  <longdesc lang="en">{_prose(agent.longdesc)}</longdesc>',
        f'  <shortdesc lang="en">{_escaped(agent.shortdesc)}</shortdesc>',
        "  <parameters>",
        *(line for param in agent.params for line in _param(param)),
        "  </parameters>",
        "  <actions>",
        *(_action(action) for action in agent.actions),
        "  </actions>",
        "</resource-agent>",
    ]
    return "\n".join(lines) + "\n"


def _param(param: Param) -> list[str]:
    attributes = {"name": param.name, "required": str(int(param.required)), "reloadable": str(int(param.reloadable))}
    if param.unique_group:
        attributes["unique-group"] = param.unique_group
    content = {"type": param.kind}
    if param.default:
        content["default"] = param.default
    return [
        f"    <parameter{_attributes(attributes)}>",
        f'      <longdesc lang="en">{_prose(param.longdesc)}</longdesc>',
        f'      <shortdesc lang="en">{_escaped(param.shortdesc)}</shortdesc>',
        f"      <content{_attributes(content)}/>",
        "    </parameter>",
    ]


def _action(action: Action) -> str:
    attributes = {"name": action.name, "timeout": f"{action.timeout}s"}
    if action.interval is not None:
        attributes["interval"] = f"{action.interval}s"
    if action.depth is not None:
        attributes["depth"] = str(action.depth)
    if action.role:
        attributes["role"] = action.role
    return f"    <action{_attributes(attributes)}/>"


def _attributes(values: dict[str, str]) -> str:
    return "".join(f" {name}={_quoted(value)}" for name, value in values.items())


def _prose(text: str) -> str:
    """Join wrapped source lines into paragraphs: readers wrap for themselves."""
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n")]
    return _escaped("\n\n".join(paragraphs))


# xml.sax.saxutils has both of these, and loads half of urllib with them.


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace('"', "&quot;") + '"'
