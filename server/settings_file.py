"""Read the settings: the values given, the environment, and below both the TOML file."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from inference.errors import SettingRefusal
from server.settings import ENVIRONMENT_PREFIX, NOT_SETTINGS, Settings


def load(overrides: Mapping[str, Any] | None = None, *, config: Path | None = None) -> Settings:
    """Read the settings.

    Raises:
        SettingRefusal: a key is unknown, a value is out of range, or the file cannot be read.
    """
    _refuse_unknown_variables()
    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    from_file = _read_file(config) if config else {}
    in_environment = {name for name in Settings.model_fields if os.environ.get(f"{ENVIRONMENT_PREFIX}{name.upper()}")}
    below = {key: value for key, value in from_file.items() if key not in in_environment}
    try:
        return Settings(**(below | given))
    except ValidationError as error:
        raise SettingRefusal(_sentence(error)) from None
    except json.JSONDecodeError as error:
        raise SettingRefusal(f"A list that starts with '[' is JSON; it is broken at character {error.pos}.") from None


def environment_of(settings: Settings) -> dict[str, str]:
    """Settings as environment variables, for a process that runs one role of this node."""
    return {
        f"{ENVIRONMENT_PREFIX}{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.model_dump(mode="json", exclude_none=True).items()
    }


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingRefusal(f"The settings file {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingRefusal(f"The settings file {path} is not TOML: {error}.") from None
    unknown = sorted(set(values) - set(Settings.model_fields))
    if unknown:
        raise SettingRefusal(f"Unknown setting {unknown[0]!r} in {path}; known are {_known()}.")
    return values


def _refuse_unknown_variables() -> None:
    known = {f"{ENVIRONMENT_PREFIX}{name.upper()}" for name in Settings.model_fields} | NOT_SETTINGS
    unknown = sorted(name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX) and name not in known)
    if unknown:
        raise SettingRefusal(f"Unknown setting {unknown[0]} in the environment; known are {_known()}.")


def _known() -> str:
    return ", ".join(sorted(Settings.model_fields))


def _sentence(error: ValidationError) -> str:
    """The first complaint as one sentence; the value itself is left out where it may hold a password."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"Unknown setting {name!r}; known are {_known()}."
    return f"Setting {name!r}: {first['msg']}, got {first['input']!r}."
