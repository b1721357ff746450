"""Tables of the user guide: settings, commands, and the reasons for not assessing."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

import typer
from prometheus_client.parser import text_string_to_metric_families

from docs.blocks.markdown import table
from docs.blocks.sentences import member_sentences
from inference.errors import ReasonCode
from inference.findings import ReviewReason
from inference.review import Action, ReviewFault
from inference.review.review import REASONS
from server.agreement import DriftWatch
from server.cli import COMMANDS
from server.compose import open_node
from server.metrics import render
from server.output_drift import OutputWatch
from server.priority import PRIORITIES
from server.retention import NEEDS
from server.settings import Settings


def settings() -> str:
    """Every setting with its option, its variable and its default."""
    application = typer.Typer(add_completion=False)
    application.command("serve")(importlib.import_module("server.commands.serve").command)
    flags = {parameter.name: parameter.opts[0] for parameter in typer.main.get_command(application).params}
    rows = []
    for name, field in Settings.model_fields.items():
        default = "" if field.default in ((), "") else f"`{field.default}`"
        rows.append((f"`{name}`", f"`{flags[name]}`", f"`SPINE_{name.upper()}`", default, field.description))
    return table(("setting", "option", "environment", "default", "meaning"), rows)


def commands() -> str:
    """Every command with its own arguments and options; settings are options of most of them too."""
    return "\n\n".join(_command(name, sentence) for name, sentence in COMMANDS.items())


def _command(name: str, sentence: str) -> str:
    module = importlib.import_module(f"server.commands.{name}")
    application = typer.Typer(add_completion=False)
    group = getattr(module, "application", None)
    if isinstance(group, typer.Typer):
        application.add_typer(group, name=name, help=sentence)
        described = typer.main.get_command(application).commands[name].commands  # type: ignore[attr-defined]
        parts = [_usage(f"{name} {word}", command) for word, command in described.items()]
    else:
        application.command(name, help=sentence)(module.command)
        parts = [_usage(name, typer.main.get_command(application))]
    return "\n\n".join([f"## spine-node {name}", sentence, *parts])


def _usage(path: str, command: Any) -> str:
    own = [p for p in command.params if p.name not in Settings.model_fields and p.name not in {"help", "config"}]
    takes_settings = any(p.name == "config" for p in command.params)
    words = ["spine-node", path, *(_argument(p) for p in own if p.param_type_name == "argument")]
    words += ["[options]"] if takes_settings or len(words) - 2 < len(own) else []
    lines = [f"```\n{' '.join(words)}\n```"]
    options = [(f"`{', '.join(p.opts)}`", p.help or "") for p in own if p.param_type_name == "option"]
    options += [(f"`{_argument(p)}`", getattr(p, "help", "") or "") for p in own if p.param_type_name == "argument"]
    if options:
        lines.append(table(("argument", "meaning"), options))
    if takes_settings:
        lines.append("Takes `--config FILE` and every [setting](configuring.md) as an option.")
    return "\n\n".join(lines)


def _argument(parameter: Any) -> str:
    word = (parameter.metavar or parameter.name).upper()
    return word if parameter.required else f"[{word}]"


def reasons() -> str:
    """Every reason code with its sentence."""
    sentences = member_sentences(ReasonCode)
    return table(("code", "meaning"), [(f"`{code.value}`", sentences[code.name]) for code in ReasonCode])


def review_reasons() -> str:
    """Every reason of a review's decision, and with which decisions it goes."""
    sentences = member_sentences(ReviewReason)
    rows = [
        (
            f"`{reason.value}`",
            sentences[reason.name],
            ", ".join(action.value for action in Action if reason in REASONS[action]) or "neither",
        )
        for reason in ReviewReason
    ]
    return table(("reason", "meaning", "goes with"), rows)


def review_faults() -> str:
    """Every code of a review that cannot be applied."""
    sentences = member_sentences(ReviewFault)
    return table(("code", "meaning"), [(f"`{fault.value}`", sentences[fault.name]) for fault in ReviewFault])


def metrics() -> str:
    """Every metric of a node that has done nothing yet."""
    with tempfile.TemporaryDirectory() as folder:
        made = Settings(data_dir=Path(folder))
        node = open_node(made)
        text = render(node, DriftWatch(), OutputWatch()).decode()
        node.engine.dispose()
    families = sorted(text_string_to_metric_families(text), key=lambda family: family.name)
    rows = [
        (f"`{family.name}{'_total' if family.type == 'counter' else ''}`", family.type, family.documentation)
        for family in families
    ]
    return table(("metric", "kind", "meaning"), rows)


def priorities() -> str:
    """The order of the worklist."""
    rows = [(str(rank), line.label, line.alarm.value) for rank, line in enumerate(PRIORITIES, start=1)]
    return table(("place", "priority", "shown as"), rows)


def needs() -> str:
    """What keeps the images of a study."""
    return "\n".join(f"- {need.sentence}" for need in NEEDS)
