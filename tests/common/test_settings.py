"""Settings come from the environment, a secret perhaps from a file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from common.settings import ServiceSettings, variable_names

REQUIRED = {
    "DATABASE_URL": "postgresql+asyncpg://a:b@db/x", "DATABASE_WORKER_URL": "postgresql+asyncpg://w:b@db/x",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092", "REDIS_URL": "redis://cache", "JWKS_URL": "http://accounts/jwks",
    "TOKEN_ISSUER": "http://accounts", "SAMPLE_API_SECRET": "hunter2",
}  # fmt: skip


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SAMPLE_", frozen=True)

    api_secret: SecretStr
    grace_hours: int = Field(default=24, ge=0)
    stripe_secret_key: SecretStr | None = Field(default=None, validation_alias="STRIPE_SECRET_KEY")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_shared_names_have_no_prefix_and_own_names_have(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("SAMPLE_GRACE_HOURS", "3")
    environment.setenv("GRACE_HOURS", "4")
    environment.setenv("STRIPE_SECRET_KEY", "sk_test_1")
    found = Settings()
    assert (found.grace_hours, found.log_level, found.kafka_bootstrap_servers) == (3, "INFO", "kafka:9092")
    assert found.stripe_secret_key == SecretStr("sk_test_1")


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("SAMPLE_API_SECRET", "api_secret"),
        ("DATABASE_URL", "database_url"),
        ("STRIPE_SECRET_KEY", "stripe_secret_key"),
    ],
)
def test_any_variable_may_be_a_file(
    environment: pytest.MonkeyPatch, tmp_path: Path, variable: str, field: str
) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    environment.delenv(variable, raising=False)
    environment.setenv(f"{variable}_FILE", str(tmp_path / "secret"))
    assert getattr(Settings(), field) == SecretStr("from a file")


def test_the_variable_itself_goes_before_its_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file")
    environment.setenv("SAMPLE_API_SECRET_FILE", str(tmp_path / "secret"))
    assert Settings().api_secret == SecretStr("hunter2")


def test_a_file_that_is_not_there_stops_the_start(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("SAMPLE_API_SECRET")
    environment.setenv("SAMPLE_API_SECRET_FILE", "/nowhere/secret")
    with pytest.raises(FileNotFoundError, match="/nowhere/secret"):
        Settings()


@pytest.mark.parametrize("name", REQUIRED)
def test_what_has_no_default_must_be_given(environment: pytest.MonkeyPatch, name: str) -> None:
    environment.delenv(name)
    with pytest.raises(ValidationError) as error:
        Settings()
    assert len(error.value.errors()) == 1
    assert "hunter2" not in str(error.value)


def test_settings_never_change_and_never_show_a_secret() -> None:
    found = Settings()
    with pytest.raises(ValidationError):
        setattr(found, "grace_hours", 1)  # noqa: B010 - the type forbids it already
    assert "hunter2" not in repr(found) + str(found)
    assert "a:b@db" not in repr(found)


def test_the_name_of_each_variable_can_be_listed() -> None:
    names = {variable_names(Settings, name, field) for name, field in Settings.model_fields.items()}
    assert {"DATABASE_URL", "SAMPLE_API_SECRET", "SAMPLE_GRACE_HOURS", "STRIPE_SECRET_KEY"} <= names
    assert "SAMPLE_LOG_LEVEL" not in names
