from __future__ import annotations

import pyarrow as pa
from msgspec import structs

from adapters.archive.layout import SCHEMAS
from adapters.archive.outcome_states import declined_by_rules
from adapters.archive.writer import decision_row
from cardwatch.events import Action
from cardwatch.topics import DECISIONS
from tests.unit.services.records_of_others import DECISION


def test_rules_have_a_part_in_declines_with_a_reason_of_the_policy_file_and_in_those_without_a_model() -> None:
    decisions = [
        structs.replace(DECISION, action=action, reasons=reasons, degraded=degraded)
        for action, reasons, degraded in (
            (Action.DECLINE, ["POLICY_COUNTRY", "AMOUNT"], False),
            (Action.DECLINE, ["AMOUNT", "NEW_DEVICE"], False),
            (Action.CHALLENGE, ["POLICY_COUNTRY"], False),
            (Action.APPROVE, [], False),
            (Action.DECLINE, ["RULE_AMOUNT"], True),
            (Action.DECLINE, ["AMOUNT", "POLICY_B"], False),
        )
    ]
    table = pa.Table.from_pylist([decision_row(each) for each in decisions], schema=SCHEMAS[DECISIONS])
    expected = [True, False, False, False, True, True]
    assert declined_by_rules(table).tolist() == expected
    # In parts and in slices, as they come from several files.
    parts = pa.concat_tables([table.slice(0, 2), table.slice(2)])
    assert declined_by_rules(parts).tolist() == expected
    assert declined_by_rules(table.slice(1)).tolist() == expected[1:]
    assert declined_by_rules(table.slice(0, 0)).tolist() == []
