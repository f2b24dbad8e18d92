"""Compare every recorded feature and every card state with a replay, and print the counts as a line of JSON.

The script is piped into a container that has archive, tables and store.
"""

import json
import sys

import numpy as np

from adapters.archive.reader import Archive
from adapters.archive.reference_tables import ReferenceTableStore
from adapters.feature_store.open import open_reader
from adapters.runtime.settings import read_settings
from pipelines.steps.training_set import replay_log

settings = read_settings()
archive = Archive(settings.archive, settings.index_url)
days = archive.days()
decisions = archive.decisions(days[0], days[-1])
replayed = replay_log(archive, ReferenceTableStore(settings.tables).all())


def positions(rows):
    return zip(rows["partition"].to_pylist(), rows["log_offset"].to_pylist(), strict=True)


rows = decisions["features"].combine_chunks().flatten().to_numpy(zero_copy_only=False).astype(np.float32)
recorded = dict(zip(positions(decisions), rows.reshape(decisions.num_rows, -1), strict=True))
features = dict(zip(positions(replayed.transactions), replayed.features, strict=True))
store = open_reader(settings)
states = store.load(replayed.cards)
sys.stdout.write(
    json.dumps(
        {
            "decisions": decisions.num_rows,
            "transactions": len(features),
            "features_that_differ": sum(
                features[position].tobytes() != row.tobytes() for position, row in recorded.items()
            ),
            "states_that_differ": sum(
                one.tobytes() != other.tobytes() for one, other in zip(states, replayed.states, strict=True)
            ),
        }
    )
)
