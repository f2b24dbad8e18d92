"""Why the archive has no decision about a transaction: it is not archived, not decided, a dead letter, or not known."""

from __future__ import annotations

from adapters.archive.log_files import find_row_groups
from adapters.archive.reader import Archive
from adapters.kafka.topics import FIRST_RESPONSE_SECONDS, wait_for_broker
from adapters.records.dead_letters import find_letter_about
from adapters.records.decision_search import find_decision
from adapters.records.printable import printable
from adapters.runtime.settings import Settings
from adapters.runtime.terminal_text import escaped
from cardwatch.errors import CardwatchError
from cardwatch.topics import DECISIONS, TRANSACTIONS


def why_there_is_no_decision(settings: Settings, archive: Archive, transaction_id: str) -> str:
    """Return sentences that say why, by the archive and, if a broker is known and answers, by the topics."""
    name = escaped(transaction_id)
    position = archive.transaction_position(transaction_id)
    where = f"the archive in {settings.archive} has no decision about a transaction {name!r}"
    if position is not None:
        partition, offset = position
        where += f": the transaction is in the archived log, at {TRANSACTIONS}[{partition}] {offset}, and "
        where += _by_other_decisions(archive, partition, offset)
    return f"{where}. {_by_topics(settings, transaction_id, name)}"


def _by_other_decisions(archive: Archive, partition: int, offset: int) -> str:
    """Return what the archived decisions on other transactions of the partition say, as the end of a sentence."""
    groups = [group for group in find_row_groups(archive.files(DECISIONS)) if group.holds(partition)]
    if not groups:
        return "no decision about a transaction of this partition is archived yet"
    first, last = min(group.first_offset for group in groups), max(group.last_offset for group in groups)
    if offset < first:
        return f"the first archived decision of this partition is about {first}: it is history, which was not decided"
    if offset > last:
        return f"decisions of this partition are archived up to {last}: its decision is not made, or not archived yet"
    return (
        f"decisions about {first} to {last} of this partition are archived: it repeats an earlier transaction, or its "
        "decision is missing, which `cardwatch audit --range` of its day tells"
    )


def _by_topics(settings: Settings, transaction_id: str, name: str) -> str:
    if not settings.kafka_bootstrap:
        return (
            "The topics were not asked: CARDWATCH_KAFKA_BOOTSTRAP is empty, and no stack runs in this home "
            "(`cardwatch up`)"
        )
    try:
        wait_for_broker(settings.kafka, FIRST_RESPONSE_SECONDS)
        found = find_decision(settings, transaction_id, None)
        if found.decision is not None:
            return (
                f"It was decided ({DECISIONS}[{found.decision.partition}]), and the decision is archived within a "
                f"quarter of an hour, or when its day is closed. Until then: `cardwatch decisions show {name}`"
            )
        letter = find_letter_about(settings.kafka, transaction_id)
    except CardwatchError as error:
        return f"The topics could not be asked: {error}"
    if letter is None:
        return f"In the topics: {found.searched}"
    position = f"{letter.letter.partition}:{letter.letter.offset}"
    reason = printable(letter.letter.reason)
    return f"Its record was rejected, and is a dead letter: {reason}. `cardwatch dead-letters show {position}`"
