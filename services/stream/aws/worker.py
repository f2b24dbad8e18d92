"""The stream worker as a function: one batch of one Kinesis shard per call, with states and decisions in DynamoDB.

Locally one Kafka transaction holds decisions and offsets. No transaction spans Kinesis and DynamoDB, so here the card's
item is the unit of commit: its next state and the decisions that led to it are written in one conditional write and
delivered afterwards. The written decision is the decision of record. There is exactly one per transaction. It is
delivered at least once, always with the same bytes, and readers recognize it by its `transaction_id`.

Kinesis hands over one batch of a shard at a time, and the next one when it is done or given up. But a batch that has
timed out may be handed over while the first call still runs. The commit order is `ShardWorker.process`. What a crash
leaves behind, by the last step before it, and what happens when the batch is redelivered (and, if Lambda gives it up,
when the next batch arrives):

1 settled, 2 read, 3 folded, 4 decided
    Nothing was written: the batch is decided again, from the same states. (Given up: undecided, in the queue
    `abandoned`.)
5 begun
    Offsets are taken and the batch is noted as open, with no decision: the note is cleared, and the batch is decided
    again, at other offsets.
6 some cards written
    Their decisions are delivered as they were written, the other records are decided again. (Given up: the next batch
    of the shard, or of its child after a resharding, delivers what was written; the other records are in `abandoned`,
    undecided.)
6 all cards written, 7 some or all delivered
    All decisions are delivered as they were written. (Given up: the next batch delivers them.)
8 finished
    Each record is recognized by its sequence number; the decisions that its card still holds are delivered once more.

Two calls at the same time: of two that begin, the shard's item refuses one (5); of two that write a card, the card's
item refuses one (6). That call reads the card again, finds its records folded, and delivers the other call's decisions.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Final

from msgspec import structs

from adapters.feature_store.dynamodb_outbox import (
    CardUpdate,
    DynamoDbOutbox,
    OutboxBatch,
    OutboxCard,
    OutboxCards,
    OutboxShard,
)
from cardwatch.decision.folding import cards_of, fold_transactions
from cardwatch.events import Transaction, encode
from cardwatch.features.reference_choice import Tables
from cardwatch.partitioning import UNCHECKED
from cardwatch.records import Record
from services.stream.aws.delivery import DecisionDelivery, transaction_ids
from services.stream.aws.embedded_metrics import InvocationMetrics
from services.stream.aws.event_records import ShardRecord
from services.stream.batch import Batch, decode_records
from services.stream.decision_engine import DecisionEngine

log = logging.getLogger(__name__)

MAX_ATTEMPTS: Final = 3
"""Maximum number of times that one call reads, folds and writes a card which another call has written in between.
After that Lambda redelivers its records."""


class ShardWorker:
    """Decides the batches of shards, one batch at a time."""

    def __init__(
        self,
        outbox: DynamoDbOutbox,
        tables: Tables,
        engine: DecisionEngine,
        delivery: DecisionDelivery,
        metrics: InvocationMetrics,
    ) -> None:
        self._outbox, self._tables, self._engine = outbox, tables, engine
        self._delivery, self._metrics = delivery, metrics

    def process(self, shard: int, records: Sequence[ShardRecord]) -> list[int]:
        """Decide a batch of a shard, and return the sequence numbers of the records that have to be redelivered.

        1. settle what an earlier call has begun and not finished: deliver its decisions as they were written;
        2. read the cards' items; records that a card holds already were decided before, and their decisions are
           delivered as they were written;
        3. fold the other records through the kernel, in memory only;
        4. one scoring request for all of them; if it fails, the rules decide and the decisions say so; policy ->
           decisions;
        5. begin: take offsets, and note which cards are going to be written;
        6. write each card, state and decisions together, unless another call has written it since 2;
        7. deliver the decisions of the written cards, and the dead letters;
        8. finish: clear the note.

        Cards refused at 6 go through all steps again, up to `MAX_ATTEMPTS` times. Raises `Superseded` if another call
        has continued with the shard, and the errors of the adapters: then Lambda redelivers the batch.
        """
        remaining = list(records)
        for _ in range(MAX_ATTEMPTS):
            remaining = self._attempt(shard, remaining)
            if not remaining:
                return []
        log.warning("shard %d: %d records are left for another call", shard, len(remaining))
        return [record.sequence_number for record in remaining]

    def _attempt(self, number: int, shard_records: Sequence[ShardRecord]) -> list[ShardRecord]:
        """Go through the steps once, and return the records of the cards that were refused."""
        # The item of a card is its unit of commit, so that no other shard can overwrite its state.
        records, transactions, letters = decode_records(
            [each.as_record(number, i) for i, each in enumerate(shard_records)], UNCHECKED
        )
        card_ids, _ = cards_of(transactions)
        shard, stored, settled = self._settle_and_read(number, card_ids)
        position = {card_id: i for i, card_id in enumerate(card_ids)}

        def is_new(record: Record, transaction: Transaction) -> bool:
            folded_to = stored.cards[position[transaction.card_id]].folded_to.get(number, -1)
            return shard_records[record.offset].sequence_number > folded_to

        new = [is_new(*each) for each in zip(records, transactions, strict=True)]
        redelivered = {each.transaction_id for each, flag in zip(transactions, new, strict=True) if not flag}
        if redelivered:
            self._metrics.count_redelivered(len(new) - sum(new))
            pending = [line for card in stored.cards for line in card.pending if line not in settled]
            again = [line for line in pending if transaction_ids(line).transaction_id in redelivered]
            self._delivery.decisions(f"{number}/again-{shard_records[0].sequence_number}", again)
        refused: list[ShardRecord] = []
        if any(new):
            new_records = [
                structs.replace(record, offset=shard.next_offset + record.offset) for record in compress(records, new)
            ]
            batch = self._fold(
                shard, len(shard_records), new_records, list(compress(transactions, new)), stored, position
            )
            sources = [shard_records[record.offset - batch.start] for record in new_records]
            not_written = self._commit(shard, batch, sources, [stored.cards[position[card]] for card in batch.cards])
            refused = [
                source
                for source, transaction in zip(sources, batch.folded.transactions, strict=True)
                if transaction.card_id in not_written
            ]
        if letters:
            self._metrics.count_dead_letters(len(letters))
            self._delivery.dead_letters(
                [structs.replace(each, offset=shard.next_offset + each.offset) for each in letters]
            )
        return refused

    def _settle_and_read(self, number: int, card_ids: Sequence[str]) -> tuple[OutboxShard, OutboxCards, set[bytes]]:
        """Steps 1 and 2, also for parent shards, which may have ended with an open batch.

        Returns the shard, the cards in the order of `card_ids`, and the decisions that were delivered.
        """
        [shard], stored = self._outbox.read([number], card_ids)
        others = {card.log_shard for card in stored.cards if card.log_shard is not None} - {number}
        parents, _ = self._outbox.read(sorted(others), []) if others else ([], None)
        settled: set[bytes] = set()
        for unfinished in (each.unfinished for each in (*parents, shard) if each.unfinished is not None):
            log.info("%s: an earlier call did not finish it", unfinished.name)
            lines = self._outbox.pending(unfinished)
            self._delivery.decisions(unfinished.name, lines)
            self._outbox.finish(unfinished)
            settled.update(lines)
        return shard, stored, settled

    def _fold(
        self,
        shard: OutboxShard,
        offsets: int,
        records: list[Record],
        transactions: list[Transaction],
        stored: OutboxCards,
        position: Mapping[str, int],
    ) -> Batch:
        """Step 3. The batch takes an offset for every record that arrived; those of redelivered records stay unused."""
        cards, card_index = cards_of(transactions)
        states = stored.states[[position[card_id] for card_id in cards]]
        folded = fold_transactions(self._tables, states, card_index, transactions)
        start = shard.next_offset
        return Batch(shard.number, start, start + offsets, records, folded, cards, states, [])

    def _commit(
        self, shard: OutboxShard, batch: Batch, sources: Sequence[ShardRecord], stored: Sequence[OutboxCard]
    ) -> set[str]:
        """Steps 4 to 8; returns the cards that were refused."""
        decided = self._engine.decide([batch])
        lines: defaultdict[str, list[bytes]] = defaultdict(list)
        for decision in decided.decisions:
            lines[decision.transaction.card_id].append(encode(decision))
        newest = {
            transaction.card_id: source.sequence_number
            for transaction, source in zip(batch.folded.transactions, sources, strict=True)
        }
        begun = OutboxBatch(batch.partition, batch.start, batch.stop, batch.cards)
        self._outbox.begin(shard, begun)
        refused = self._outbox.write(
            begun,
            [
                CardUpdate(card_id, state.tobytes(), card, newest[card_id], lines[card_id])
                for card_id, state, card in zip(batch.cards, batch.states, stored, strict=True)
            ],
        )
        written = [line for card_id in batch.cards if card_id not in refused for line in lines[card_id]]
        self._delivery.decisions(begun.name, written)
        self._outbox.finish(begun)
        self._metrics.count_delivered(batch, decided, refused)
        return refused
