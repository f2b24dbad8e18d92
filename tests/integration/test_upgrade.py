"""An upgrade with a champion of a former feature schema, on real MLflow and Prefect servers and a real archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.archive.writer import ArchiveWriter
from adapters.model_registry.mlflow_registry import MlflowRegistry
from adapters.model_registry.mlflow_tracking import MlflowTracking
from adapters.runtime.settings import Settings
from cardwatch.detector.detector import Detector
from cardwatch.features.definitions import SCHEMA_HASH
from cardwatch.promotion.policy import PromotionPolicy
from cardwatch.registry import CHAMPION
from cardwatch.simulation.settings import SimulationSettings
from cli.main import main
from infra.local_stack.stack import LocalStack
from tests.archived_world import archive_world
from tests.folder_contents import contents
from tests.former_version import FORMER_SCHEMA, former_model, make_states_former, make_tables_former
from tests.promotion_policies import ANY_CHALLENGER_WINS, policy_toml
from tests.unit.services.records_of_others import DECISION

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]

WORLD, DAYS, PARTITIONS = SimulationSettings(seed=5, cards=200, fraud_share=0.02), 30, 2
ANY_MODEL = ANY_CHALLENGER_WINS
NO_MODEL = replace(ANY_MODEL, minimum_average_precision=1.0)


def use(policy_file: Path, policy: PromotionPolicy) -> None:
    policy_file.write_bytes(policy_toml(policy))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """CARDWATCH_HOME as a former version has left it: archive, decisions, tables, states and champion."""
    home = tmp_path_factory.mktemp("home")
    stack = home / "stack"
    archive_world(stack, WORLD, DAYS, PARTITIONS)
    former = make_tables_former(stack / "tables", stack / "archive")
    record_decisions(stack / "archive", next(iter(former.values())))
    make_states_former(stack / "store", Archive(stack / "archive").positions("transactions"), PARTITIONS)
    files = home / "model"
    files.mkdir()
    for name, content in former_model().items():
        (files / name).write_bytes(content)
    with LocalStack(Settings(home=stack)) as servers:
        servers.start("mlflow")
        url = servers.settings.mlflow_url
        tags = {"trained_until": "2025-01-20"}
        version = MlflowTracking(url).log_model(
            files, run_name="former", schema_hash=FORMER_SCHEMA, fingerprint="", tags=tags
        )
        with closing(MlflowRegistry(url)) as registry:
            registry.set_alias(CHAMPION, version)
    yield home


def record_decisions(archive: Path, table_id: str) -> None:
    """Archive a decision of the former version on one transaction of the second day."""
    day = WORLD.first_day + timedelta(days=1)
    [transaction] = Archive(archive).transactions(day, day).slice(0, 1).to_pylist()
    row = {
        name: transaction[name]
        for name in (
            "transaction_id",
            "card_id",
            "merchant_id",
            "occurred_at",
            "amount_minor",
            "merchant_category",
            "channel",
            "country",
            "partition",
            "log_offset",
        )
    }
    decision = {
        **row,
        "sequence": 0,
        "features": [12.5, 4.0, None],
        "feature_schema": FORMER_SCHEMA,
        "table_id": table_id,
        "model_version": "1",
        "policy_version": "policy",
        "margin": 1.5,
        "probability": 0.75,
        "action": DECISION.action.value,
        "reasons": [],
        "degraded": False,
        "decided_at": transaction["occurred_at"],
        "latency_ms": 1.0,
    }
    with closing(ArchiveWriter(archive)) as writer:
        writer.write({"decisions": [decision]}, {})


def test_the_champion_is_replaced_by_the_first_model_that_passes_the_gate(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy_file = home / "policies.toml"
    monkeypatch.setenv("CARDWATCH_HOME", str(home))
    monkeypatch.setenv("CARDWATCH_POLICY_FILE", str(policy_file))
    last_day = WORLD.first_day + timedelta(days=DAYS - 1)

    (home / "stack" / "store" / "lock.mdb").unlink()  # in which LMDB would count its readers
    before = contents(home)
    checked = CliRunner().invoke(main, ["upgrade", "--check"])
    assert checked.exit_code == 0, checked.output
    assert f"a new model is trained on the data known at the end of {last_day}" in checked.stdout
    assert contents(home) == before

    use(policy_file, NO_MODEL)
    refused = CliRunner().invoke(main, ["upgrade"])
    assert refused.exit_code == 1
    assert f"on the data known at the end of {last_day}" in refused.stdout
    assert "the model that was trained is not good enough to be champion: judged on days" in refused.stderr
    assert "the champion (version 1) needs other features and cannot be compared" in refused.stderr
    assert len(ReferenceTableStore(home / "stack" / "tables").former_days()) == DAYS

    use(policy_file, ANY_MODEL)
    done = CliRunner().invoke(main, ["upgrade"])
    assert done.exit_code == 0, done.output
    assert "version 3 is champion" in done.stdout

    again = CliRunner().invoke(main, ["upgrade"])
    assert again.exit_code == 0, again.output
    assert [line.partition(": ")[2] for line in again.stdout.splitlines()] == ["nothing to do"] * 3

    with LocalStack(Settings(home=home / "stack")) as servers:
        servers.start("mlflow")
        with closing(MlflowRegistry(servers.settings.mlflow_url)) as registry:
            champion, former = registry.champion(), registry.version("1")
            assert former is not None
            assert (champion.version, champion.schema_hash) == ("3", SCHEMA_HASH)
            assert msgspec.json.decode(champion.tags["because"]) == [
                f"version 1 needs the features of schema {FORMER_SCHEMA}"
            ]
            detector = Detector.from_files(registry.files(former), schema_hash=former.schema_hash)
    [row] = Archive(home / "stack" / "archive").decisions(WORLD.first_day, last_day).to_pylist()
    assert detector.margins(np.array([row["features"]], np.float32)).tolist() == [row["margin"]]
