"""The commands by name, each loaded when it is asked for: none waits for what only the others need."""

from collections import UserDict
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_group

COMMANDS: Final = {
    "run": "service.run_all",
    "ingress": "service.run_ingress",
    "relay": "service.run_relay",
    "consume": "service.run_consume",
    "doctor": "doctor.doctor",
    "demo": "demo.demo",
    "simulate": "simulate.simulate",
    "verify": "verify.verify",
    "normalize": "normalize.normalize",
    "catalog": "catalog.app",
    "topics": "topics.app",
    "groups": "groups.app",
    "decisions": "decisions.app",
    "rules": "rules.app",
    "projections": "projections.app",
    "replay": "replay.app",
    "dlq": "dlq.app",
}
"""Module of this package and name in it: a function is a command, a Typer a group of them."""


class Commands(TyperGroup):
    """A group that has the COMMANDS; asked for one, it imports that one's module."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = _OnDemand(COMMANDS)


class _OnDemand(UserDict[str, Any]):
    def __getitem__(self, name: str) -> Any:
        module, _, attribute = self.data[name].partition(".")
        found = getattr(import_module(f"{__package__}.{module}"), attribute)
        holder = typer.Typer()
        if isinstance(found, typer.Typer):
            holder.add_typer(found, name=name)
        else:
            holder.command(name)(found)
        return get_group(holder).commands[name]
