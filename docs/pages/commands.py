"""The commands, from the declarations that the Typer app was made of."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from typer.models import ArgumentInfo, CommandInfo, OptionInfo

from graphsvc.cli import shell
from graphsvc.cli.app import app

from .markdown import code, page, said, table

VALUES = {str: "TEXT", int: "INTEGER", float: "FLOAT", Path: "PATH"}
COMMON = {parameter.name for parameter in shell.COMMON}


def made() -> str:
    """The page."""
    found = list(commands(app, "graphsvc"))
    shared = [parameter for parameter in parameters(found[0][1]) if parameter.name in COMMON]
    listed = ((f"[`{name}`](#{name.replace(' ', '-')})", about(name, command)) for name, command in found)
    return page(
        "Commands",
        said(app.info.help, "graphsvc"),
        "`python -m graphsvc` is the same program.",
        said(shell.__doc__, "cli.shell").split("\n\n", 1)[1],
        table(("command", "what it does"), listed),
        "## Options of every command",
        _options(shared),
        *(_command(name, command) for name, command in found),
    )


def commands(group: typer.Typer, path: str) -> Iterator[tuple[str, CommandInfo]]:
    """Every command below a group, by its full name."""
    for command in group.registered_commands:
        yield f"{path} {command.name}", command
    for below in group.registered_groups:
        assert below.typer_instance is not None, below.name
        yield from commands(below.typer_instance, f"{path} {below.name}")


def parameters(command: CommandInfo) -> list[inspect.Parameter]:
    """Its arguments and options."""
    assert command.callback is not None, command.name
    return list(inspect.signature(command.callback).parameters.values())


def about(name: str, command: CommandInfo) -> str:
    """What it does."""
    return said(command.callback.__doc__, name)


def _command(name: str, command: CommandInfo) -> str:
    example = said(command.epilog, f"the example of {name}").removeprefix("Example: ").replace("\\[", "[")
    own = [parameter for parameter in parameters(command) if parameter.name not in COMMON]
    arguments = " ".join(_argument(one) for one in own if isinstance(_info(one), ArgumentInfo))
    usage = f"{name} [OPTIONS] {arguments}".rstrip()
    parts = (f"## {name}", about(name, command), f"```console\n$ {example}\n```", f"Usage: `{usage}`", _options(own))
    return "\n\n".join(parts).strip()


def _info(parameter: inspect.Parameter) -> ArgumentInfo | OptionInfo:
    return next(one for one in get_args(parameter.annotation) if isinstance(one, ArgumentInfo | OptionInfo))


def _options(own: Iterable[inspect.Parameter]) -> str:
    rows = []
    for parameter in own:
        info = _info(parameter)
        named = _argument(parameter) if isinstance(info, ArgumentInfo) else ", ".join(_flags(parameter, info))
        rows.append((code(named), code(_value(parameter, info)), _meaning(parameter, info)))
    return table(("name", "value", "meaning"), rows) if rows else ""


def _meaning(parameter: inspect.Parameter, info: ArgumentInfo | OptionInfo) -> str:
    help = said(info.help, f"the option {parameter.name}")
    if parameter.default is parameter.empty:
        return help if isinstance(info, ArgumentInfo) else f"{help} Required."
    if isinstance(parameter.default, bool):
        flags = [flag for flag in _flags(parameter, info) if flag.startswith("--no-") is not parameter.default]
        help += f" Default: `{flags[0]}`." if len(_flags(parameter, info)) > 1 else ""
    elif parameter.default is not None:
        help += f" Default: `{parameter.default}`."
    return f"{help} Environment: `{info.envvar}`." if info.envvar else help


def _argument(parameter: inspect.Parameter) -> str:
    name = _info(parameter).metavar or parameter.name.upper()
    several = "…" if list in _types(parameter) and not name.endswith("…") else ""
    return f"{name}{several}" if parameter.default is parameter.empty else f"[{name}{several}]"


def _flags(parameter: inspect.Parameter, info: ArgumentInfo | OptionInfo) -> list[str]:
    """Its names; a switch without an own name has both sides."""
    first = (info.default,) if isinstance(info.default, str) else ()  # where Typer leaves the first name given
    declared = [flag for text in (*first, *(info.param_decls or ())) for flag in text.split("/")]
    plain = parameter.name.replace("_", "-")
    return declared or ([f"--{plain}", f"--no-{plain}"] if bool in _types(parameter) else [f"--{plain}"])


def _value(parameter: inspect.Parameter, info: ArgumentInfo | OptionInfo) -> str:
    """What is to stand behind it."""
    if isinstance(info, ArgumentInfo) or bool in _types(parameter):
        return ""
    for type in _types(parameter):
        if get_origin(type) is Literal:
            return "|".join(get_args(type))
    return info.metavar or next(VALUES[type] for type in _types(parameter) if type in VALUES)


def _types(parameter: inspect.Parameter) -> set[Any]:
    """All types in its annotation: those of a union, of a list, and list itself."""
    found: set[Any] = set()
    waiting = [get_args(parameter.annotation)[0]]
    while waiting:
        type = waiting.pop()
        found.add(type)
        if get_origin(type) is not None and get_origin(type) is not Literal:
            found.add(get_origin(type))
            waiting.extend(get_args(type))
    return found
