"""All errors of Cardwatch, as one tree.

    CardwatchError
    ├── InvalidRecord          a record that breaks its contract: a dead letter, or HTTP 422
    ├── Misconfigured          a setting, a file or an argument that cannot be used
    │   ├── PortInUse
    │   └── MappingError       a user's data set does not fit its mapping
    ├── Unavailable            a part of the system does not answer now (retriable)
    │   ├── BrokerUnavailable
    │   ├── RegistryUnavailable
    │   ├── MoveLogUnavailable
    │   ├── ScoringUnavailable
    │   │   └── NoModelServed  it answers, but has no champion
    │   ├── OrchestratorUnavailable
    │   ├── StoreUnavailable
    │   ├── ArchiveUnavailable
    │   ├── StreamUnavailable  a Kinesis stream does not accept or return records now
    │   ├── StorageUnavailable an S3 bucket does not accept or return objects now
    │   └── JarsUnavailable    Kafka's jars are not cached and cannot be downloaded
    ├── Superseded             another worker has taken over; restart from committed offsets (retriable)
    ├── ProcessDied            a process of the local stack has ended unexpectedly
    ├── ObjectMissing          a required object is not in its bucket
    ├── CorruptTable           a file of a reference table is damaged or cannot be read
    │   └── FormerTable        it is intact, in the stored form of another version of Cardwatch
    ├── CorruptVerdict         a file of a verdict's bundle is missing or cannot be read
    ├── ModelRefused           a model that must not be used
    │   ├── NoChampion         (retriable)
    │   ├── CorruptModel
    │   └── SchemaMismatch
    ├── MoveRefused            a version must not go to this stage of the ladder
    │   └── MoveConflict       somebody else has moved a version since the log was read
    ├── CorruptMoves           the log of moves was changed after it was written
    ├── StoreRefused           the feature store refuses a write
    │   ├── StaleWriter        `applied` is not the start of the batch: another worker has written
    │   ├── StoreLeads         `applied` is ahead of the log: the store belongs to another log
    │   └── GapLost            neither topic nor archive contains records that the store needs
    ├── CaseRefused            an action on a case that is not allowed
    │   ├── CaseUnknown        there is no such case: HTTP 404
    │   ├── TransitionRefused  the state of the case forbids it: HTTP 409
    │   └── CaseChanged        somebody has acted on it meanwhile: HTTP 412
    └── KeyRefused             the API key of a call does not suffice
        ├── KeyUnknown         no key, or an invalid key: HTTP 401
        └── ScopeMissing       a valid key without the required scope: HTTP 403

A message says what is wrong, where, and what to do. Users see it without a traceback.
"""

from __future__ import annotations


class CardwatchError(Exception):
    """Base of all errors. `retriable`: the same call may succeed later."""

    retriable = False


class InvalidRecord(CardwatchError):
    """A record that breaks its contract. `field` is its path (`$.amount_minor`), empty for the whole record."""

    def __init__(self, reason: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.reason = reason
        self.field = field


class Misconfigured(CardwatchError):
    """A setting, file or argument that cannot be used. The message names key and value."""


class PortInUse(Misconfigured):
    """A configured port is used by another process."""


class MappingError(Misconfigured):
    """A user's data set does not fit its mapping; the message names column, row and value."""


class Unavailable(CardwatchError):
    """A part of the system does not answer now."""

    retriable = True


class BrokerUnavailable(Unavailable):
    """The Kafka broker cannot be reached or does not answer in time."""


class RegistryUnavailable(Unavailable):
    """The model registry cannot be reached or does not answer in time."""


class MoveLogUnavailable(Unavailable):
    """The log of moves between the stages of the ladder does not answer."""


class ScoringUnavailable(Unavailable):
    """The scoring service cannot be reached, is not ready or missed the deadline."""


class ScorerBusy(ScoringUnavailable):
    """The scoring service answers that it has too many requests. It is no fault: the same request can succeed later."""


class NoModelServed(ScoringUnavailable):
    """The scoring service answers, but has no champion."""


class OrchestratorUnavailable(Unavailable):
    """The Prefect server cannot be reached, or does not know the deployment."""


class StoreUnavailable(Unavailable):
    """The feature store cannot be reached or does not answer in time."""


class ArchiveUnavailable(Unavailable):
    """The archive's index cannot be reached or does not answer in time."""


class StreamUnavailable(Unavailable):
    """A Kinesis stream cannot be reached, or has not accepted all records."""


class StorageUnavailable(Unavailable):
    """An S3 bucket cannot be reached, or throttles."""


class JarsUnavailable(Unavailable):
    """Kafka's jars are not in the local cache and cannot be downloaded."""


class Superseded(CardwatchError):
    """The batch was fenced or the partitions were reassigned: discard the batch and restart from committed offsets."""

    retriable = True


class ProcessDied(CardwatchError):
    """A process of the local stack has ended unexpectedly. The message contains the last lines of its log."""


class ObjectMissing(CardwatchError):
    """A required object is not in its bucket. The message names both."""


class CorruptTable(CardwatchError):
    """A file of a reference table is damaged or does not match its name. The message names the file."""


class FormerTable(CorruptTable):
    """A file of a reference table is intact, in the stored form of another version of Cardwatch."""


class CorruptVerdict(CardwatchError):
    """A file of a verdict's bundle is missing or cannot be read. The message names the file."""


class ModelRefused(CardwatchError):
    """A model must not be used."""


class NoChampion(ModelRefused):
    """The registry has no model version under the alias `champion`; it may be trained any time."""

    retriable = True


class CorruptModel(ModelRefused):
    """A model's files do not have the digest that the registry recorded, or cannot be read."""


class SchemaMismatch(ModelRefused):
    """Features and model were made for different feature schemas; the message holds both hashes."""


class MoveRefused(CardwatchError):
    """A version must not go to this stage of the ladder; nothing was recorded."""


class MoveConflict(MoveRefused):
    """Somebody else has moved a version since the log was read; nothing was recorded."""


class CorruptMoves(CardwatchError):
    """The log of moves was changed after it was written, or was not written by Cardwatch."""


class StoreRefused(CardwatchError):
    """The feature store has refused a write or a restore."""


class StaleWriter(StoreRefused):
    """`applied` is not the start of the batch, because another worker has written since then."""


class StoreLeads(StoreRefused):
    """`applied` is ahead of the committed offset: the store belongs to another log."""


class GapLost(StoreRefused):
    """Records that the store needs are neither in the topic nor in the archive."""


class CaseRefused(CardwatchError):
    """An action on a case of the review queue is not allowed."""


class CaseUnknown(CaseRefused):
    """There is no case at this position (HTTP 404)."""


class TransitionRefused(CaseRefused):
    """The state of the case does not allow the action (HTTP 409)."""


class CaseChanged(CaseRefused):
    """The case has another version than the caller has seen (HTTP 412). The message holds both."""


class KeyRefused(CardwatchError):
    """A call that its API key does not allow. The message never contains the key that was sent."""


class KeyUnknown(KeyRefused):
    """The call has no API key or an invalid one (HTTP 401)."""


class ScopeMissing(KeyRefused):
    """The key has not the required scope (HTTP 403). The message names the key's holder and the scope."""
