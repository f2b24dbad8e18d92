"""Spark job of the backfill: cards are distributed over tasks, and the transactions of a card are in log order."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import col, lit

from adapters.archive.arrow_columns import KERNEL_COLUMNS
from adapters.archive.feature_rows import KEY_COLUMNS
from adapters.archive.log_files import BATCH_ROWS, LOG_POSITION
from adapters.archive.reader import Archive, index_url_of, transaction_files
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.runtime.settings import read_settings
from cardwatch.errors import CardwatchError, Misconfigured
from cardwatch.topics import DECISIONS
from pipelines.command import run_command
from pipelines.spark.folding import SPARK_SCHEMA, StoredTables, fold_task
from pipelines.spark.launcher import parse_arguments

_COLUMNS: Final = list(dict.fromkeys([*KERNEL_COLUMNS, *KEY_COLUMNS]))


def backfill(spark: Any, transactions: Path, tables: Path, out: Path, index_url: str = "") -> None:
    """Write the feature rows of an archive, or of a folder of Parquet files with its columns, to `out`.

    Each transaction uses the reference table that its decision recorded, or else the table that is valid on its day.
    `index_url` is the URL of the archive's index, if it is not in the archive's folder.
    """
    if out.exists():
        raise Misconfigured(f"{out} exists; name another folder, or remove it")
    files = map(str, transaction_files(transactions, index_url))
    rows = spark.read.option("mergeSchema", "true").parquet(*files)
    rows = rows.select(*_COLUMNS)
    store = ReferenceTableStore(tables)
    serialized = [table.to_bytes() for table in store.all()]
    stored = spark.sparkContext.broadcast(StoredTables(serialized, store.former_days()))
    (
        _with_recorded_tables(spark, rows, Archive(transactions, index_url))
        .repartition("card_id")
        .sortWithinPartitions("card_id", *LOG_POSITION)
        .mapInArrow(partial(fold_task, stored), SPARK_SCHEMA)
        .write.parquet(str(out))
    )


def _with_recorded_tables(spark: Any, rows: DataFrame, archive: Archive) -> DataFrame:
    files = archive.files(DECISIONS) if archive.exists else []
    if not files:
        return rows.withColumn("table_id", lit(None).cast("string"))
    recorded = spark.read.parquet(*(str(path) for path, _ in files)).select(*LOG_POSITION, col("table_id"))
    return rows.join(recorded, list(LOG_POSITION), "left")


@contextmanager
def _session(master: str) -> Iterator[Any]:
    """Yield a Spark session on the loopback interface, without web UI. Spark's errors become `CardwatchError`."""
    builder = SparkSession.builder.master(master).appName("cardwatch backfill")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MILLIS",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(BATCH_ROWS),
    }.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    except PySparkException as error:
        raise CardwatchError(f"Spark could not finish: {_cause(str(error))}") from error
    finally:
        spark.stop()


def _cause(message: str) -> str:
    """Return the Cardwatch error in the worker's traceback that Spark's message contains, or else the first line."""
    raised = re.findall(r"^\S*cardwatch\.errors\.\w+: (.*)$", message, re.MULTILINE)
    return raised[-1] if raised else message.strip().splitlines()[0]


def main() -> None:
    """Run the backfill that the command line describes."""
    with run_command():
        arguments = parse_arguments()
        with _session(arguments.master) as spark:
            index_url = index_url_of(arguments.transactions, read_settings())
            backfill(spark, arguments.transactions, arguments.tables, arguments.out, index_url)
        sys.stdout.write(f"feature rows in {arguments.out}\n")


if __name__ == "__main__":
    main()
