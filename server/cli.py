"""``spine-node``: one subcommand per module of server.commands, loaded only when it is asked for.

Exit codes: 0 done, 1 our failure, 2 bad input or usage. A user's mistake is one line on stderr, never a traceback.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from traceback import extract_tb

import typer

from inference.errors import Failure, Refusal
from server import __version__
from server.memory import spare_lasting_objects

COMMANDS: Mapping[str, str] = {
    "serve": "Run the whole node: receive, work and web.",
    "receive": "Take instances in by C-STORE, and hand complete studies over.",
    "work": "Read studies and deliver the results.",
    "web": "Answer HTTP: health, metrics, studies, findings.",
    "infer": "Read one study from a folder, without a server.",
    "plan": "Show which series would answer which question, and why not.",
    "send": "Send files to a DICOM node.",
    "models": "List, verify, show or import model bundles.",
    "claims": "Check the evidence for a claim, write its packet; list and check criteria tables.",
    "viewer": "Install the OHIF viewer, which the node then serves.",
    "users": "Add, list or disable local users, or give one a new password.",
    "keys": "Create, list or revoke keys of machines.",
    "audit": "Verify the audit trail.",
    "hold": "Keep the images of a study, whatever the rules of retention say.",
    "retention": "List or delete the images that the rules of retention let go.",
    "status": "Show what the node is doing.",
    "retry": "Try a failed study, or deliveries in the dead letter, again.",
    "backup": "Back the node up while it runs.",
    "restore": "Restore a backup into an empty data folder.",
    "check": "Check settings, ports, data folder, database, clocks, certificates, models and peers.",
}
"""Every subcommand and what it does; each is the module of that name in server.commands."""

DONE, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line, and leave with its exit code."""
    spare_lasting_objects()
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: Sequence[str]) -> int:
    """Run one command; returns the exit code. The one place that turns an error into a code and a line."""
    try:
        command = typer.main.get_command(_application(arguments))
        code = command.main(args=list(arguments), prog_name="spine-node", standalone_mode=False)
    except typer.Exit as left:
        return left.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the boundary of the process: every error becomes a line and a code
        sentence, exit_code = _explain(error)
        sys.stderr.write(" ".join(sentence.split()) + "\n")
        return exit_code
    return code if isinstance(code, int) else DONE


def _explain(error: Exception) -> tuple[str, int]:
    """One sentence for a person, and the exit code."""
    if isinstance(error, typer.TyperException):
        return error.format_message(), REFUSED
    if isinstance(error, Refusal):
        return error.sentence, REFUSED
    if isinstance(error, Failure):
        return str(error), FAILED
    return _fault(error), FAILED


def _fault(error: Exception) -> str:
    """The type and the place of a fault of the program, without its text, which may quote a dataset."""
    places = " < ".join(
        f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(extract_tb(error.__traceback__)[-4:])
    )
    return f"A fault of the program: {type(error).__name__} at {places}."


def _application(arguments: Sequence[str]) -> typer.Typer:
    """The application with the one command that is called, or with every command's name where help is wanted."""
    application = typer.Typer(
        name="spine-node", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
    )
    application.callback()(_root)
    called = next((word for word in arguments if not word.startswith("-")), None)
    for name, sentence in COMMANDS.items():
        if called in (None, name) or called not in COMMANDS:
            module = importlib.import_module(f"server.commands.{name}") if called == name else None
            _add(application, name, sentence, module)
    return application


def _add(application: typer.Typer, name: str, sentence: str, module: object | None) -> None:
    if isinstance(group := getattr(module, "application", None), typer.Typer):
        application.add_typer(group, name=name, help=sentence)
        return
    application.command(name, help=sentence)(getattr(module, "command", _named_only))


def _named_only() -> None:
    """Stand for a command whose module is not loaded: only its name and sentence are shown."""


def _version(value: bool) -> None:  # noqa: FBT001 - the form that typer calls
    if value:
        typer.echo(f"spine-node {__version__}")
        raise typer.Exit


def _root(
    version: bool = typer.Option(  # noqa: FBT001 - an option is a parameter
        False,  # noqa: FBT003
        "--version",
        help="Print the version and leave.",
        callback=_version,
        is_eager=True,
    ),
) -> None:
    """Spine imaging AI inference server. For research use only; not for use in diagnostic procedures."""
    del version


if __name__ == "__main__":
    main()
