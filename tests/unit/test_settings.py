"""Settings and policies: what is read, and what an unusable one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.policies import Policies, read_policies
from adapters.settings import Secret, Settings, read_settings
from cardwatch.errors import Misconfigured


def test_without_variables_the_local_stack_chooses() -> None:
    assert read_settings({}) == Settings()


def test_a_child_process_reads_the_same_settings() -> None:
    settings = Settings(home=Path("here"), kafka_bootstrap="127.0.0.1:1", api_key=Secret("key"), partitions=2)
    assert read_settings(settings.to_environment()) == settings


@pytest.mark.parametrize(
    ("key", "value"),
    [("CARDWATCH_PARTITIONS", "zero"), ("CARDWATCH_PARTITIONS", "0"), ("CARDWATCH_MLFLOW_URL", "localhost:5000")],
)
def test_an_unusable_value_is_refused_with_key_and_value(key: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{key}='{value}'"):
        read_settings({key: value})


@pytest.mark.parametrize(
    "value", ["redis://h:1/2", "rediss://u:p@h", "valkey://h", "dynamodb://cards?region=eu-central-1"]
)
def test_an_address_of_a_feature_store_is_taken_and_passed_on(value: str) -> None:
    settings = read_settings({"CARDWATCH_STORE_URL": value})
    assert settings.store_url == value
    assert read_settings(settings.to_environment()) == settings


@pytest.mark.parametrize(
    "value", ["postgres://user:opensesame@host/db", "redis://", "localhost:6379", "unix:/tmp/redis"]
)
def test_another_feature_store_is_refused_without_showing_a_password(value: str) -> None:
    with pytest.raises(
        Misconfigured, match=r"CARDWATCH_STORE_URL=.* redis://, rediss://, valkey://, dynamodb://$"
    ) as caught:
        read_settings({"CARDWATCH_STORE_URL": value})
    assert "opensesame" not in str(caught.value)
    assert "opensesame" not in repr(Settings(store_url=Secret("redis://:opensesame@host")))


def test_a_secret_does_not_show_itself() -> None:
    assert "opensesame" not in repr(Settings(api_key=Secret("opensesame")))


def test_a_policy_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[decision]\nchallenge_cost_minor = 250\n")
    policies = read_policies(Settings(policy_file=file))
    assert policies.decision.challenge_cost_minor == 250
    assert policies.drift == Policies().drift
    assert policies.decision.version != Policies().decision.version


@pytest.mark.parametrize("content", ["[decisions]\n", "[drift]\nmaturity_days = 'five'\n", "not toml"])
def test_a_broken_policy_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(content)
    with pytest.raises(Misconfigured, match=r"policy\.toml: "):
        read_policies(Settings(policy_file=file))


def test_a_policy_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"nowhere\.toml"):
        read_policies(Settings(policy_file=tmp_path / "nowhere.toml"))
