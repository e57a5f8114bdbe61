"""The command line: ``imbridge``. Tables for people, ``--json`` for programs, messages on standard error."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge import __version__
from bridge.cli.chosen import use_file
from bridge.cli.commands import Commands
from bridge.cli.output import ReaderGone, complain
from bridge.errors import ConfigurationError, ImbridgeError, RulesRefused, UsageError

app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"imbridge {__version__}")
        raise typer.Exit


@app.callback()
def _imbridge(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="TOML file with settings.")] = None,
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Event-driven message bridge for instant messaging: callbacks in, Kafka topics and SQL tables out."""
    use_file(config)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 it failed, 2 it was not asked rightly, 4 refused."""
    try:
        app()
    except (ConfigurationError, UsageError) as error:
        complain(f"imbridge: {error}")
        sys.exit(2)
    except RulesRefused as error:
        complain(f"imbridge: {error}")
        sys.exit(4)
    except ImbridgeError as error:
        complain(f"imbridge: {error}")
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except ReaderGone:  # what is left in the buffer goes nowhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
