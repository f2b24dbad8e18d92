"""The stream worker as a function: one batch of one Kinesis shard per call, states and decisions in DynamoDB.

Locally one Kafka transaction holds decisions and offsets. There is none across Kinesis and DynamoDB, so here a card's
item is what is committed: its next state and the decisions that led to it are written in one conditional write, and
delivered after it. What is written is the decision of record. There is one, and it is delivered at least once, with the
same bytes each time; readers know it by its `transaction_id`.

Kinesis hands over one batch of a shard at a time, and the next one only when that is done or given up. But what has
timed out may be handed over while it still runs. `BatchWorker.work` has the steps. What a crash leaves, by the step
after which it comes, and what becomes of it when the batch comes again (and, if it was given up, of the next batch):

1 settled, 2 read, 3 folded, 4 decided
    Nothing was written: all is done anew, from the same states. (Given up: undecided, in the queue `abandoned`.)
5 begun
    Offsets are taken and the batch is noted, with no decision: the note is cleared, all is done anew, at other offsets.
6 some cards written
    Their decisions are delivered as they were written, the other records are done anew. (Given up: the next batch of
    the shard, or of its child after a resharding, delivers what was written; the rest is in `abandoned`, undecided.)
6 all cards written, 7 some or all delivered
    All decisions are delivered as they were written. (Given up: the next batch delivers them.)
8 finished
    Each record is known by its sequence number; what its card still holds is delivered once more.

Two calls at once: of two that begin, one is refused by the shard's item (5); of two that write a card, one is refused
by the card's (6). It then reads the card again, finds its records folded, and delivers what the other one decided.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Final, Protocol

import msgspec
from msgspec import Struct, structs

from adapters.feature_store import dynamodb_outbox as outbox
from adapters.feature_store.dynamodb_outbox import CardUpdate, DynamoDbOutbox, OutboxCard, OutboxCards, OutboxShard
from cardwatch.events import DeadLetter, Transaction, encode
from cardwatch.features.columns import card_index
from cardwatch.features.reference_choice import Tables
from cardwatch.records import Record
from services.stream.aws.event_records import Arrival
from services.stream.batch import Batch, fold_transactions, sort_out
from services.stream.decider import Decided, Decider

log = logging.getLogger(__name__)

ROUNDS: Final = 3
"""How often cards that somebody else has written meanwhile are read and folded anew before Lambda is to come again."""


class Delivers(Protocol):
    """Where decisions and dead letters go, see `services.stream.aws.delivery.Delivery`."""

    def decisions(self, batch: str, lines: Sequence[bytes]) -> None:
        """Deliver the decisions of a batch, each as JSON; the same batch again replaces what it can."""
        ...

    def dead_letters(self, letters: Sequence[DeadLetter]) -> None:
        """Deliver what could not be read."""
        ...


class Tells(Protocol):
    """Who is told what a call has done, see `services.stream.aws.embedded_metrics.Counts`."""

    def decided(self, batch: Batch, decided: Decided, refused: set[str]) -> None:
        """A batch was decided, and delivered but for the cards that were refused."""
        ...

    def redelivered(self, records: int) -> None:
        """Records that were folded before."""
        ...

    def dead(self, letters: int) -> None:
        """Records that are no transactions."""
        ...


class BatchWorker:
    """Decides batches, one at a time."""

    def __init__(
        self, cards: DynamoDbOutbox, tables: Tables, decider: Decider, delivery: Delivers, tells: Tells
    ) -> None:
        self._cards, self._tables, self._decider = cards, tables, decider
        self._delivery, self._tells = delivery, tells

    def work(self, shard: int, arrivals: Sequence[Arrival]) -> list[int]:
        """Decide a batch of a shard. Gives the sequence numbers of records that are to be handed over again.

        1. settle what an earlier call has begun and not finished: deliver it as it was written;
        2. read the cards' items; records that they hold already were decided before, and are delivered as they were;
        3. fold the others through the kernel, in memory only;
        4. one scoring call for all of them; if that fails the rules decide and say so; policy -> decisions;
        5. begin: take offsets, and note which cards are about to be written;
        6. write each card, state and decisions together, unless somebody has written it since 2;
        7. deliver the decisions of what was written, and the dead letters;
        8. finish: the note is cleared.

        Cards refused at 6 go through all of it again, a few times. Raises `Superseded` if another invocation has taken
        the shard on, and whatever adapters raise: then Lambda hands all of it over again.
        """
        left = list(arrivals)
        for _ in range(ROUNDS):
            left = self._try(shard, left)
            if not left:
                return []
        log.warning("shard %d: %d records are left for another call", shard, len(left))
        return [arrival.sequence_number for arrival in left]

    def _try(self, number: int, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """The steps, once; gives the records of the cards that were refused."""
        good, transactions, letters = sort_out([each.as_record(number, i) for i, each in enumerate(arrivals)])
        card_ids = list(dict.fromkeys(transaction.card_id for transaction in transactions))
        shard, read, settled = self._settle_and_read(number, card_ids)
        at = {card_id: place for place, card_id in enumerate(card_ids)}

        def is_fresh(record: Record, transaction: Transaction) -> bool:
            folded_to = read.cards[at[transaction.card_id]].folded_to.get(number, -1)
            return arrivals[record.offset].sequence_number > folded_to

        kept = [is_fresh(*each) for each in zip(good, transactions, strict=True)]
        before = {each.transaction_id for each, fresh in zip(transactions, kept, strict=True) if not fresh}
        if before:
            self._tells.redelivered(len(kept) - sum(kept))
            pending = [line for card in read.cards for line in card.pending]
            again = [line for line in pending if _transaction_id(line) in before and line not in settled]
            self._delivery.decisions(f"{number}/again-{arrivals[0].sequence_number}", again)
        refused: list[Arrival] = []
        if any(kept):
            fresh = [record._replace(offset=shard.next_offset + record.offset) for record in compress(good, kept)]
            batch = self._fold(shard, len(arrivals), fresh, list(compress(transactions, kept)), read, at)
            sequence_numbers = [arrivals[record.offset - batch.begins].sequence_number for record in fresh]
            not_written = self._commit(shard, batch, sequence_numbers, [read.cards[at[card]] for card in batch.cards])
            refused = [
                arrivals[record.offset - batch.begins]
                for record, transaction in zip(fresh, batch.transactions, strict=True)
                if transaction.card_id in not_written
            ]
        if letters:
            self._tells.dead(len(letters))
            self._delivery.dead_letters(
                [structs.replace(each, offset=shard.next_offset + each.offset) for each in letters]
            )
        return refused

    def _settle_and_read(self, number: int, card_ids: Sequence[str]) -> tuple[OutboxShard, OutboxCards, set[bytes]]:
        """Steps 1 and 2. A card's last shard may be the parent of ours, and have ended with something unfinished."""
        [shard], read = self._cards.read([number], card_ids)
        others = {card.log_shard for card in read.cards if card.log_shard is not None} - {number}
        parents, _ = self._cards.read(sorted(others), []) if others else ([], None)
        settled: set[bytes] = set()
        for unfinished in (each.unfinished for each in (*parents, shard) if each.unfinished is not None):
            log.info("%s: an earlier call did not finish it", unfinished.name)
            lines = self._cards.pending(unfinished)
            self._delivery.decisions(unfinished.name, lines)
            self._cards.finish(unfinished)
            settled.update(lines)
        return shard, read, settled

    def _fold(
        self,
        shard: OutboxShard,
        offsets: int,
        records: list[Record],
        transactions: list[Transaction],
        read: OutboxCards,
        at: Mapping[str, int],
    ) -> Batch:
        """Step 3. The batch takes as many offsets as records came: what was folded before leaves its own unused."""
        cards, index = card_index([transaction.card_id for transaction in transactions])
        states = read.states[[at[card_id] for card_id in cards]]
        folded, tables = fold_transactions(self._tables, states, index, transactions)
        begins = shard.next_offset
        return Batch(shard.number, begins, begins + offsets, records, transactions, folded, tables, cards, states, [])

    def _commit(
        self, shard: OutboxShard, batch: Batch, sequence_numbers: Sequence[int], read: Sequence[OutboxCard]
    ) -> set[str]:
        """Steps 4 to 8; gives the cards that were refused."""
        decided = self._decider.decide([batch])
        lines: defaultdict[str, list[bytes]] = defaultdict(list)
        for decision in decided.decisions[0]:
            lines[decision.transaction.card_id].append(encode(decision))
        newest = {
            transaction.card_id: sequence_number
            for transaction, sequence_number in zip(batch.transactions, sequence_numbers, strict=True)
        }
        begun = outbox.OutboxBatch(batch.partition, batch.begins, batch.position, batch.cards)
        self._cards.begin(shard, begun)
        refused = self._cards.write(
            begun,
            [
                CardUpdate(card_id, state.tobytes(), held, newest[card_id], lines[card_id])
                for card_id, state, held in zip(batch.cards, batch.states, read, strict=True)
            ],
        )
        written = [line for card_id in batch.cards if card_id not in refused for line in lines[card_id]]
        self._delivery.decisions(begun.name, written)
        self._cards.finish(begun)
        self._tells.decided(batch, decided, refused)
        return refused


class _Id(Struct):
    transaction_id: str


class _Line(Struct):
    transaction: _Id


_decode_line: Final = msgspec.json.Decoder(_Line).decode


def _transaction_id(line: bytes) -> str:
    return _decode_line(line).transaction.transaction_id
