"""Every way in which Cardwatch refuses, as one tree.

    CardwatchError
    ├── InvalidRecord          a record that no contract covers: a dead letter, or HTTP 422
    ├── Misconfigured          a setting, a file or an argument that cannot be used
    │   ├── PortInUse
    │   └── MappingError       a user's data set does not fit its mapping
    ├── Unavailable            a part we need does not answer now (retriable)
    │   ├── BrokerUnavailable
    │   ├── RegistryUnavailable
    │   ├── ScoringUnavailable
    │   │   └── NoModelServed  it answers, but has no champion to answer with
    │   ├── OrchestratorUnavailable
    │   ├── StoreUnavailable
    │   ├── ArchiveUnavailable
    │   ├── StreamUnavailable  a Kinesis stream does not take or give records now
    │   ├── StorageUnavailable a bucket of S3 does not take or give objects now
    │   └── JarsUnavailable    Kafka's jars are neither here nor to be fetched
    ├── Superseded             another worker has taken over; start again from what is committed (retriable)
    ├── ProcessDied            a part of the local stack ended by itself
    ├── ObjectMissing          an object that must be in a bucket is not there
    ├── CorruptTable           a reference table's file that is damaged or cannot be read
    ├── ModelRefused           a model that must not be used
    │   ├── NoChampion         (retriable)
    │   ├── CorruptModel
    │   └── SchemaMismatch
    ├── StoreRefused           the feature store protects itself
    │   ├── StaleWriter        `applied` is not where the batch began: somebody else has written
    │   ├── StoreLeads         `applied` is ahead of the log: the store belongs to another log
    │   └── GapLost            neither topic nor archive holds what the store has not folded yet
    └── KeyRefused             a caller of the scoring service whose API key does not do
        ├── KeyUnknown         no key, or none that is valid: HTTP 401
        └── ScopeMissing       a valid key for something else: HTTP 403

A message says what is wrong, where, and what to do about it; it is shown to users without a traceback.
"""

from __future__ import annotations


class CardwatchError(Exception):
    """Anything that Cardwatch refuses or cannot do. `retriable`: the same call may succeed later."""

    retriable = False


class InvalidRecord(CardwatchError):
    """A record that breaks its contract. `field` is its path (`$.amount_minor`), empty for the whole record."""

    def __init__(self, reason: str, *, field: str = "") -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.reason = reason
        self.field = field


class Misconfigured(CardwatchError):
    """A setting, file or argument that cannot be used; the message names the key and the value."""


class PortInUse(Misconfigured):
    """A port that was asked for is taken by another process."""


class MappingError(Misconfigured):
    """A user's data set does not fit its mapping; the message names column, row and value."""


class Unavailable(CardwatchError):
    """A part we need does not answer at the moment."""

    retriable = True


class BrokerUnavailable(Unavailable):
    """The Kafka broker cannot be reached or does not answer in time."""


class RegistryUnavailable(Unavailable):
    """The model registry cannot be reached or does not answer in time."""


class ScoringUnavailable(Unavailable):
    """The scoring service cannot be reached, is not ready or missed the deadline."""


class NoModelServed(ScoringUnavailable):
    """The scoring service answers, but has no champion to answer with."""


class OrchestratorUnavailable(Unavailable):
    """The Prefect server cannot be reached, or does not know the deployment."""


class StoreUnavailable(Unavailable):
    """The feature store cannot be reached or does not answer in time."""


class ArchiveUnavailable(Unavailable):
    """The archive's index cannot be reached or does not answer in time."""


class StreamUnavailable(Unavailable):
    """A Kinesis stream cannot be reached, or has not taken all of the records that were put into it."""


class StorageUnavailable(Unavailable):
    """A bucket of S3 cannot be reached, or does not take a call now."""


class JarsUnavailable(Unavailable):
    """Kafka's jars are not in the local cache and cannot be fetched."""


class Superseded(CardwatchError):
    """Our batch was fenced or our partitions moved: throw the batch away and start again from what is committed."""

    retriable = True


class ProcessDied(CardwatchError):
    """A process of the local stack ended by itself; the message holds the last lines of its log."""


class ObjectMissing(CardwatchError):
    """An object that must be in a bucket is not there; the message names both."""


class CorruptTable(CardwatchError):
    """A reference table's file that does not hold what its name says; the message names the file."""


class ModelRefused(CardwatchError):
    """A model that must not answer."""


class NoChampion(ModelRefused):
    """The registry has no model version under the alias `champion`; it may be trained any moment."""

    retriable = True


class CorruptModel(ModelRefused):
    """A model's files do not have the digest that the registry recorded, or cannot be read."""


class SchemaMismatch(ModelRefused):
    """Features and model were made for different feature schemas; the message holds both hashes."""


class StoreRefused(CardwatchError):
    """A write that the feature store did not take."""


class StaleWriter(StoreRefused):
    """`applied` is not the position where the batch began: another worker has written since."""


class StoreLeads(StoreRefused):
    """`applied` is ahead of the committed offset: this store was not made from this log."""


class GapLost(StoreRefused):
    """A stretch of the log that the store needs is neither in the topic nor in the archive."""


class KeyRefused(CardwatchError):
    """A call that its API key does not allow; the message never holds what the caller sent."""


class KeyUnknown(KeyRefused):
    """The call carries no API key, or none that is valid (HTTP 401)."""


class ScopeMissing(KeyRefused):
    """The key is valid, but not for this call (HTTP 403); the message names the key's holder and the scope."""
