"""What the services themselves say of what they need; the deployment files are held to it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from common.settings import variable_names

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Service:
    folder: str
    port: int

    @property
    def package(self) -> str:
        return self.folder.replace("-", "_")


SERVICES = [
    Service("catalog", 8101),
    Service("subscriptions", 8102),
    Service("billing", 8103),
    Service("metering", 8104),
    Service("kong-sync", 8105),
    Service("accounts", 8106),
]
# Where every worker has its door: each is alone in its container.
WORKER_PORT = 8109


@dataclass(frozen=True)
class Variable:
    """One environment variable that a service reads."""

    name: str
    required: bool
    secret: bool
    default: Any

    @property
    def points_home(self) -> bool:
        """The default is this machine: right for development, wrong in every container."""
        return "127.0.0.1" in str(self.default) or "localhost" in str(self.default)


@cache
def variables(package: str) -> dict[str, Variable]:
    """Every variable of the service's Settings class, by name."""
    model: type[BaseSettings] = importlib.import_module(f"{package}.settings").Settings
    found = {}
    for field, info in model.model_fields.items():
        name = variable_names(model, field, info)
        secret = info.annotation is SecretStr or SecretStr in get_args(info.annotation)
        found[name] = Variable(name, info.is_required(), secret, info.get_default(call_default_factory=False))
    return found


def missing_and_unknown(package: str, given: set[str], where: str) -> list[str]:
    """A finding for each variable that is needed and not given, or given and not known."""
    known = variables(package)
    plain = {name.removesuffix("_FILE") if name.removesuffix("_FILE") in known else name for name in given}
    absent = [variable for variable in known.values() if variable.name not in plain]
    findings = [f"{where}: {v.name} is needed and not given" for v in absent if v.required]
    findings += [f"{where}: {name} is not a setting of {package}" for name in sorted(plain - set(known))]
    return findings + [
        f"{where}: {v.name} is not given, and its default is this machine" for v in absent if v.points_home
    ]
