"""An agent's table as text for people: a man page, and the tables of its page in docs/."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from kvmha.ocf.agent import Agent
    from kvmha.ocf.spec import Action, Param


def man(agent: type[Agent], *, version: str, see_also: str = "kvmha(8), pacemaker-execd(8)") -> str:
    """Return the man page ocf_kvmha_NAME(7) in roff (man(7))."""
    name = f"ocf_kvmha_{agent.name}"
    lines = [
        f'.TH {name} 7 "" "kvmha {version}" "OCF resource agents"',
        ".SH NAME",
        f"{name} \\- {_roff(agent.shortdesc)}",
        ".SH SYNOPSIS",
        f".B ocf:kvmha:{agent.name}",
        ".SH DESCRIPTION",
        *_paragraphs(agent.longdesc),
        ".SH PARAMETERS",
        "Given as instance attributes of the resource.",
    ]
    for param in agent.params:
        lines += [".TP", f".B {_roff(param.name)}", _roff(_kind(param)), ".br", *_paragraphs(param.longdesc, ".IP")]
    lines += [".SH ACTIONS", "With the least times that a definition should give them."]
    for action in agent.actions:
        lines += [".TP", f".B {_roff(_action_name(action))}", _roff(_times(action))]
    return "\n".join([*lines, ".SH SEE ALSO", _roff(see_also)]) + "\n"


def markdown(agent: type[Agent]) -> str:
    """Return the tables of parameters and actions in Markdown."""
    lines = ["| parameter | value | meaning |", "| --- | --- | --- |"]
    lines += [f"| `{param.name}` | {_cell(_kind(param))} | {_cell(_line(param.longdesc))} |" for param in agent.params]
    lines += ["", "| action | times |", "| --- | --- |"]
    lines += [f"| {_action_name(action)} | {_times(action)} |" for action in agent.actions]
    return "\n".join(lines) + "\n"


def _kind(param: Param) -> str:
    words = [param.kind]
    if param.choices:
        words = [" | ".join(choice or "(empty)" for choice in param.choices)]
    if param.minimum is not None:
        words.append(f"from {param.minimum}" + ("" if param.maximum is None else f" to {param.maximum}"))
    if param.required:
        words.append("required")
    if param.default:
        words.append(f"default {param.default}")
    if not param.reloadable:
        words.append("a change restarts the resource")
    return ", ".join(words)


def _action_name(action: Action) -> str:
    words = [action.name, action.role, f"depth {action.depth}" if action.depth else ""]
    return " ".join(word for word in words if word)


def _times(action: Action) -> str:
    every = f", every {action.interval} s" if action.interval else ""
    return f"timeout {action.timeout} s{every}"


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _paragraphs(text: str, begin: str = ".PP") -> list[str]:
    """Return the lines of one or more paragraphs, the second and all later ones begun by that request."""
    lines: list[str] = []
    for number, paragraph in enumerate(text.strip().split("\n\n")):
        lines += [begin] if number else []
        lines.append(_roff(_line(paragraph)))
    return lines


def _roff(text: str) -> str:
    """Escape what roff would read as a request or an escape, and keep every minus one that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
