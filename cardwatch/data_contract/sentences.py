"""Findings in words."""

from __future__ import annotations

import math
from typing import Final

from cardwatch.data_contract.finding import Check
from cardwatch.data_contract.measures import Measure, Subject

_SENTENCES: Final = {
    Check.NULL_SHARE: "{where} is missing in {percent} of the records, {low} to {high} are usual",
    Check.UNSEEN_CODES: "{where} has codes that the reference does not know in {precise} of the records: {codes}",
    Check.VANISHED_CODES: "{where} lacks codes that {precise} of the records usually have: {codes}",
    Check.CODE_MIX: "{where} has other shares of its codes: {percent} of the records differ, up to {high} is usual",
    Check.AMOUNT_SCALE: ("{where} has a geometric mean of {minor} minor units, {minor_low} to {minor_high} is usual"),
    Check.AMOUNT_RANGE: "{where} is outside of its usual range in {percent} of the records, up to {high} is usual",
    Check.VOLUME: "there are {rows} {records}, {rows_low} to {rows_high} are usual",
    Check.CLOCK: "{where} is around {clock} UTC in the mean, {clock_low} to {clock_high} is usual",
    Check.SILENT_HOURS: "there are almost no records in hours that usually have {percent} of them",
    Check.LOG_ORDER: "{where} differs from its neighbours in the log by {hours} h in the mean, {hours_high} h is usual",
    Check.UNKNOWN_KEYS: "{where} is new in {percent} of the records, up to {high} is usual",
    Check.REPEATED_RECORDS: "{percent} of the records repeat a transaction id of the day, up to {high} is usual",
    Check.COPIED_RECORDS: (
        "{percent} of the transactions are copies of another one (same card, merchant, amount and time), up to {high} "
        "is usual"
    ),
}


def sentence_of(subject: Subject, measure: Measure, low: float, high: float) -> str:
    """Return what is wrong with a value, and which range was usual on the days of the reference."""
    of_channel = "" if subject.channel is None else f" of {subject.channel}"
    named: dict[str, str] = {
        "where": f"{subject.column}{of_channel}",
        "records": f"records{of_channel}",
        "codes": ", ".join(measure.codes),
        "percent": f"{measure.value:.0%}",
        "precise": f"{measure.value:.1%}",
        "low": f"{low:.0%}",
        "high": f"{high:.0%}",
        "hours": f"{measure.value:.1f}",
        "hours_high": f"{high:.1f}",
    }
    for suffix, value in (("", measure.value), ("_low", low), ("_high", high)):
        if subject.check is Check.AMOUNT_SCALE:
            named[f"minor{suffix}"] = f"{math.exp(value):,.0f}"
        elif subject.check is Check.VOLUME:
            named[f"rows{suffix}"] = f"{math.expm1(value):,.0f}"
        elif subject.check is Check.CLOCK:
            named[f"clock{suffix}"] = _clock(value)
    return _SENTENCES[subject.check].format(**named)


def _clock(hour: float) -> str:
    minutes = round(hour * 60.0) % (24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"
