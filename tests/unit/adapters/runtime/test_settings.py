"""Settings and policies: what is read, and how unusable values are refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from adapters.runtime.policy_file import Policies, read_control, read_policies, read_policy_file
from adapters.runtime.settings import Secret, Settings, StoreUrl, read_settings, tls_of
from cardwatch.decision.control_share import ControlShare
from cardwatch.decision.cost_policy import CHANNELS, DecisionPolicy
from cardwatch.errors import Misconfigured
from cardwatch.events import Channel

EXAMPLES = Path(__file__).parents[4] / "examples" / "policies"


def test_without_variables_the_local_stack_chooses() -> None:
    assert read_settings({}) == Settings()


def test_a_child_process_reads_the_same_settings() -> None:
    settings = Settings(home=Path("here"), kafka_bootstrap="127.0.0.1:1", api_key=Secret("key"), partitions=2)
    assert read_settings(settings.to_environment()) == settings


def test_a_child_process_reads_the_same_settings_of_the_scoring_service() -> None:
    settings = Settings(
        api_keys_file=Path("keys.json"),
        tls_certificate=Path("server.pem"),
        tls_key=Path("server-key.pem"),
        tls_ca=Path("ca.pem"),
        scoring_workers=4,
        deadline_ms=80,
    )
    assert read_settings(settings.to_environment()) == settings
    assert settings.to_environment()["CARDWATCH_DEADLINE_MS"] == "80"


def test_the_file_of_api_keys_is_in_home_by_default() -> None:
    assert read_settings({"CARDWATCH_HOME": "here"}).keys_file == Path("here/api-keys.json")
    assert read_settings({"CARDWATCH_API_KEYS_FILE": "there.json"}).keys_file == Path("there.json")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("CARDWATCH_PARTITIONS", "zero"),
        ("CARDWATCH_PARTITIONS", "0"),
        ("CARDWATCH_PARTITIONS", "²"),
        ("CARDWATCH_SCORING_WORKERS", "0"),
        ("CARDWATCH_SCORING_WORKERS", "two"),
        ("CARDWATCH_DEADLINE_MS", "0"),
        ("CARDWATCH_DEADLINE_MS", "2.5"),
        ("CARDWATCH_DEADLINE_MS", "-1"),
        ("CARDWATCH_MLFLOW_URL", "localhost:5000"),
        ("CARDWATCH_WATCH_PORT", "http"),
        ("CARDWATCH_WATCH_PORT", "65536"),
        ("CARDWATCH_LOG_FORMAT", "xml"),
        ("CARDWATCH_PARTITIONER", "round_robin"),
        ("CARDWATCH_LOG_LEVEL", "info"),
    ],
)
def test_an_unusable_value_is_refused_with_key_and_value(key: str, value: str) -> None:
    with pytest.raises(Misconfigured, match=f"{key}='{value}'"):
        read_settings({key: value})


@pytest.mark.parametrize(
    "key",
    ["POSTGRES_PASSWORD", "STORE_PASSWORD", "KAFKA_PASSWORD", "API_KEY", "CONTROL_KEY", "BIND", "KAFKA_USERNAME"],
)
def test_a_value_in_another_encoding_is_refused_with_its_key_alone(key: str) -> None:
    addresses = {"CARDWATCH_INDEX_URL": "postgresql://me@host/archive", "CARDWATCH_STORE_URL": "redis://host:6379/0"}
    with pytest.raises(Misconfigured, match=f"^CARDWATCH_{key}: is not UTF-8 text; ") as refused:
        read_settings({**addresses, f"CARDWATCH_{key}": os.fsdecode("hünter2".encode("latin-1"))})
    assert "nter2" not in str(refused.value)


def test_a_path_may_have_any_bytes() -> None:
    home = os.fsdecode(b"/data/f\xfcr")
    assert read_settings({"CARDWATCH_HOME": home}).home == Path(home)


def test_an_unknown_choice_is_refused_with_the_accepted_ones() -> None:
    with pytest.raises(Misconfigured, match="one of murmur2, crc32, fnv1a, unchecked"):
        read_settings({"CARDWATCH_PARTITIONER": "round_robin"})


@pytest.mark.parametrize(
    "value", ["redis://h:1/2", "rediss://u:p@h", "valkey://h", "dynamodb://cards?region=eu-central-1"]
)
def test_an_address_of_a_feature_store_is_read_and_passed_to_children(value: str) -> None:
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
    assert "opensesame" not in repr(Settings(store_url=StoreUrl("redis://:opensesame@host")))


def test_a_secret_does_not_show_itself() -> None:
    assert "opensesame" not in repr(Settings(api_key=Secret("opensesame")))


def test_tls_is_off_without_its_files_and_on_with_both(tmp_path: Path) -> None:
    certificate, key = tmp_path / "server.pem", tmp_path / "server-key.pem"
    certificate.touch()
    key.touch()
    assert tls_of(Settings(tls_ca=Path("ca.pem"))) is None
    assert tls_of(Settings(tls_certificate=certificate, tls_key=key)) == (certificate, key)


@pytest.mark.parametrize(
    ("certificate", "key", "message"),
    [
        ("here.pem", "", "CARDWATCH_TLS_CERTIFICATE='here.pem' and CARDWATCH_TLS_KEY='': TLS needs both, or neither"),
        ("", "here.pem", "CARDWATCH_TLS_CERTIFICATE='' and CARDWATCH_TLS_KEY='here.pem': TLS needs both, or neither"),
        ("gone.pem", "here.pem", "CARDWATCH_TLS_CERTIFICATE='gone.pem': there is no such file"),
        ("here.pem", "gone.pem", "CARDWATCH_TLS_KEY='gone.pem': there is no such file"),
        ("here.pem", ".", "CARDWATCH_TLS_KEY='.': there is no such file"),
    ],
)
def test_half_of_tls_is_refused_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, certificate: str, key: str, message: str
) -> None:
    (tmp_path / "here.pem").touch()
    monkeypatch.chdir(tmp_path)
    settings = read_settings({"CARDWATCH_TLS_CERTIFICATE": certificate, "CARDWATCH_TLS_KEY": key})
    with pytest.raises(Misconfigured) as caught:
        tls_of(settings)
    assert str(caught.value) == message


def test_a_policy_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[decision]\nchallenge_cost_minor = 250\n")
    policies = read_policies(Settings(policy_file=file))
    assert policies.decision.challenge_cost_minor == 250
    assert policies.drift == Policies().drift
    assert policies.decision.version != Policies().decision.version


def test_old_names_in_a_policy_file_are_read_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[drift]\nlearnable_days = 5\ndays_after_promotion = 20\ncooldown_days_after_refusal = 8\n")
    drift = read_policies(Settings(policy_file=file)).drift
    assert drift.new_training_days == 5
    assert (drift.cooldown_days_after_promotion, drift.cooldown_days_after_refusal) == (20, 8)
    assert [message.partition(": ")[2].partition(";")[0] for message in caplog.messages] == [
        "learnable_days is called new_training_days now",
        "days_after_promotion is called cooldown_days_after_promotion now",
    ]


@pytest.mark.parametrize("key", ["minimum_average_precision_ratio", "minimum_recall_ratio", "maximum_cost_ratio"])
def test_a_requirement_of_the_former_gate_is_refused_with_the_remedy(tmp_path: Path, key: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(f"[promotion]\n{key} = 1.05\n")
    with pytest.raises(Misconfigured, match=f"promotion.{key} was removed; the saving is tested now: remove the key"):
        read_policies(Settings(policy_file=file))


def test_settings_that_defeat_the_gate_are_refused_together(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[drift]\njudge_days = 3\ncooldown_days_after_refusal = 3\n")
    with pytest.raises(Misconfigured, match=r"judge_days is 3, and must be whole weeks.*; the cooldowns allow 10"):
        read_policies(Settings(policy_file=file))


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("[drift]\nlearnable_days = 5\nnew_training_days = 5\n")
    with pytest.raises(Misconfigured, match="learnable_days"):
        read_policies(Settings(policy_file=file))


@pytest.mark.parametrize("content", ["[decisions]\n", "[drift]\nmaturity_days = 'five'\n", "not toml"])
def test_a_broken_policy_file_is_refused_by_name(tmp_path: Path, content: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(content)
    with pytest.raises(Misconfigured, match=r"policy\.toml: "):
        read_policies(Settings(policy_file=file))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("[decision]\nchalenge_cost_minor = 5\n", "chalenge_cost_minor"),
        ("[promotion]\nminimum_fraud = 5\n", "minimum_fraud"),
        ("[decision]\nchallenge_cost_minor = -1\n", "$.decision.challenge_cost_minor"),
        ("[decision]\nchallenge_cost_minor = nan\n", "$.decision.challenge_cost_minor"),
        ("[decision]\ndecline_cost_minor = inf\n", "$.decision.decline_cost_minor"),
        ("[decision]\nlost_margin = 5\n", "$.decision.lost_margin"),
        ("[decision]\nchallenge_stops_fraud = 1.1\n", "$.decision.challenge_stops_fraud"),
        ('currency = "euro"\n', "$.currency"),
        ('[decision]\ncurrency = "EUR"\n', "decision.currency: write the currency at the top"),
        ("[decision.rates]\nUSD = 0.9\n", "names no currency that the rates lead to"),
        ('currency = "EUR"\n[decision.rates]\nEUR = 1.0\n', "EUR is the currency of the file"),
        ('currency = "EUR"\n[decision.rates]\nUSD = 0\n', "$.decision.rates"),
        ('[decision]\nchallenge_channels = ["web"]\n', "$.decision.challenge_channels"),
        ("[decision.liability]\nonline = 0.5\n", "online"),
        ("[decision.control]\nshare = 0.1\n", "cap_minor"),
        ('[[decision.rules]]\nreason = "X"\naction = "decline"\n', "reason"),
    ],
)
def test_a_misspelt_key_or_an_impossible_cost_is_refused_instead_of_ignored(
    tmp_path: Path, content: str, named: str
) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(content)
    with pytest.raises(Misconfigured) as caught:
        read_policies(Settings(policy_file=file))
    assert named in str(caught.value)


def test_the_example_policy_file_is_read_and_says_what_it_is_about() -> None:
    policies = read_policy_file(EXAMPLES / "issuer.toml")
    assert policies.owner == "Fraud analytics"
    assert policies.currency == policies.decision.currency == "EUR"
    assert [rule.reason for rule in policies.decision.rules] == [
        "POLICY_COUNTRY_BLOCKED",
        "POLICY_GAMBLING_AT_NIGHT",
        "POLICY_LARGE_AMOUNT_ONLINE",
    ]


def test_the_owner_is_optional_changes_no_version_and_is_not_empty(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text('owner = "The fraud team"\n')
    policies = read_policy_file(file)
    assert (policies.owner, Policies().owner) == ("The fraud team", None)
    assert policies.decision.version == Policies().decision.version
    file.write_text('owner = ""\n')
    with pytest.raises(Misconfigured, match="owner"):
        read_policy_file(file)


def test_a_policy_file_of_before_keeps_its_costs(tmp_path: Path) -> None:
    """Every key that it could have; what it does not name has defaults that add no cost."""
    file = tmp_path / "policy.toml"
    file.write_text(
        'currency = "EUR"\n[decision]\nchallenge_cost_minor = 50\nchallenge_stops_fraud = 0.8\n'
        "decline_cost_minor = 400\nlost_margin = 0.1\nrule_speed_kmh = 900\nrule_small_count_1h = 4\n"
    )
    policy = read_policies(Settings(policy_file=file)).decision
    online = np.full(1, CHANNELS.index(Channel.ECOMMERCE))
    costs = policy.expected_costs(np.array([0.25]), np.array([1_000.0]), online)
    # 0.25 * 1000; 250 * 0.2 + 0.75 * 50; 0.75 * (400 + 100).
    np.testing.assert_allclose(costs, [[250.0, 87.5, 375.0]])
    assert (policy.rule_speed_kmh, policy.rule_small_count_1h) == (900, 4)


@pytest.mark.parametrize("key", ["", "too short"])
def test_a_control_share_without_a_good_key_is_refused_and_the_key_is_not_shown(key: str) -> None:
    policy = DecisionPolicy(control=ControlShare(share=0.02, cap_minor=5_000))
    with pytest.raises(Misconfigured) as caught:
        read_control(Settings(control_key=Secret(key)), policy)
    assert str(caught.value).startswith("CARDWATCH_CONTROL_KEY: ")
    assert "decision.control.share" in str(caught.value)
    assert not key or key not in str(caught.value)


def test_the_key_of_the_control_share_chooses_and_is_masked() -> None:
    settings = read_settings({"CARDWATCH_CONTROL_KEY": "a key of at least 16 characters"})
    policy = DecisionPolicy(control=ControlShare(share=0.02, cap_minor=5_000))
    assert read_control(settings, DecisionPolicy()) is None
    sample = read_control(settings, policy)
    assert sample is not None
    assert sample.contains("t-1", 1.0)
    assert "16 characters" not in repr(settings)


def test_a_policy_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_bytes('currency = "EUR"\n'.encode("utf-16"))
    with pytest.raises(Misconfigured, match=r"policy\.toml: is not UTF-8 text"):
        read_policies(Settings(policy_file=file))


def test_a_policy_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"nowhere\.toml"):
        read_policies(Settings(policy_file=tmp_path / "nowhere.toml"))
