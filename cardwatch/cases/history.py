"""What people do with a case: actions, the status that follows from them, and which actions are allowed.

The actions of a case are numbered from 1, and its version is the number of its actions. An action is stored only if its
number is free, so that of two people who act on the same version one wins.

A decision takes two actions, because its label must be in the log before the case counts as decided:

1. `decide` fixes outcome, investigator and time. From now on nobody else can decide the case.
2. The label is written to the topic `labels`. It follows from the case and from action 1 alone.
3. `confirm` says that the label is in the log. Only now the case is decided.

After a crash between them steps 2 and 3 are done again, by whoever comes next: the label has the same bytes, and a
repeated label is harmless. An inconclusive decision has no label, and is complete after step 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Final, NamedTuple

from msgspec import Struct, structs

from cardwatch.card_numbers import mask_card_numbers
from cardwatch.cases.case import CaseLabel, CaseOutcome, CaseState
from cardwatch.errors import InvalidRecord, ScopeMissing, TransitionRefused
from cardwatch.events import LabelSource

MAX_TEXT: Final = 2_000
"""Maximum number of characters of a note or comment."""
_NAME: Final = re.compile(r"\w(?:[\w .@/-]{0,62}\w)?")
_FORBIDDEN: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class CaseActionKind(Enum):
    """The kinds of actions."""

    ASSIGN = "assign"
    RELEASE = "release"
    NOTE = "note"
    DECIDE = "decide"
    CONFIRM = "confirm"


class CaseAction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An action on a case, stored once and never changed. `at` is event time, in whole milliseconds.

    `assignee` belongs to `assign`, `outcome` to `decide`. `text` is a note, or the comment of a decision.
    """

    version: int
    kind: CaseActionKind
    by: str
    at: datetime
    assignee: str | None = None
    outcome: CaseOutcome | None = None
    text: str = ""

    def repeats(self, other: CaseAction) -> bool:
        """Whether this is the same action as `other`, sent again: everything is equal except for the time."""
        return structs.replace(self, at=other.at) == other


class Investigator(NamedTuple):
    """Who acts. A supervisor may assign cases to others, and release and decide cases of others."""

    name: str
    is_supervisor: bool = False


class CaseStatus(Struct, frozen=True, kw_only=True):
    """The status of a case after its actions.

    `outcome`, `decided_by` and `decided_at` are set from `decide` on, while `is_label_pending` until its `confirm`.
    `decided_by` is None if a label of an investigator has reached the archive without a decision in the queue.
    """

    state: CaseState = CaseState.OPEN
    version: int = 0
    assignee: str | None = None
    outcome: CaseOutcome | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None
    is_label_pending: bool = False


def status_of(actions: Sequence[CaseAction], labels: Sequence[CaseLabel] = ()) -> CaseStatus:
    """Return the status of a case after its actions, in the order of their versions.

    `labels` are those of its transaction. A case without a decision is decided by a label of an investigator, who may
    have given it outside of the queue, or in a queue whose actions are lost; the newest one counts.
    """
    status = CaseStatus()
    for action in actions:
        status = _after(status, action)
    said = [label for label in labels if label.source is LabelSource.INVESTIGATOR]
    if not said or status.outcome is not None:
        return status
    newest = max(said, key=lambda label: label.observed_at)
    outcome = CaseOutcome.FRAUD if newest.is_fraud else CaseOutcome.GENUINE
    return structs.replace(status, state=CaseState.DECIDED, outcome=outcome, decided_at=newest.observed_at)


def _after(status: CaseStatus, action: CaseAction) -> CaseStatus:
    status = structs.replace(status, version=action.version)
    match action.kind:
        case CaseActionKind.ASSIGN:
            return structs.replace(status, state=CaseState.ASSIGNED, assignee=action.assignee)
        case CaseActionKind.RELEASE:
            return structs.replace(status, state=CaseState.OPEN, assignee=None)
        case CaseActionKind.DECIDE:
            is_pending = action.outcome is not CaseOutcome.INCONCLUSIVE
            decided = structs.replace(
                status, outcome=action.outcome, decided_by=action.by, decided_at=action.at, is_label_pending=is_pending
            )
            return decided if is_pending else structs.replace(decided, state=CaseState.DECIDED)
        case CaseActionKind.CONFIRM:
            return structs.replace(status, state=CaseState.DECIDED, is_label_pending=False)
        case CaseActionKind.NOTE:
            return status


def assign(status: CaseStatus, by: Investigator, at: datetime, to: str) -> CaseAction:
    """Return the action that assigns the case to `to`.

    Raises `TransitionRefused` for a decided case and for one that is assigned to `to`, and `ScopeMissing` for an
    investigator who assigns to somebody else or takes a case from somebody, unless they are a supervisor.
    """
    _require_undecided(status, "assigned")
    if status.assignee == to:
        raise TransitionRefused(f"the case is assigned to {to!r} already")
    if not by.is_supervisor and to != by.name:
        raise ScopeMissing(f"{by.name!r} may not assign a case to {to!r}: that takes the scope 'cases:supervise'")
    _require_own(status, by, "taken from them")
    return _action(status, CaseActionKind.ASSIGN, by, at, assignee=to)


def release(status: CaseStatus, by: Investigator, at: datetime) -> CaseAction:
    """Return the action that puts an assigned case back; raises `TransitionRefused` and `ScopeMissing` as `assign`."""
    _require_undecided(status, "released")
    if status.state is not CaseState.ASSIGNED:
        raise TransitionRefused("the case is assigned to nobody, so it cannot be released")
    _require_own(status, by, "released")
    return _action(status, CaseActionKind.RELEASE, by, at)


def note(status: CaseStatus, by: Investigator, at: datetime, text: str) -> CaseAction:
    """Return the action that adds a note, which is allowed in every state; raises `InvalidRecord` as `clean_text`."""
    if not text.strip():
        raise InvalidRecord("a note without text", field="$.text")
    return _action(status, CaseActionKind.NOTE, by, at, text=clean_text(text))


def decide(status: CaseStatus, by: Investigator, at: datetime, outcome: CaseOutcome, comment: str = "") -> CaseAction:
    """Return the action that decides the case.

    Raises `TransitionRefused` for a case that is decided or, unless by a supervisor, not assigned, `ScopeMissing` for
    somebody else's case, unless by a supervisor, and `InvalidRecord` as `clean_text`.
    """
    _require_undecided(status, "decided again; correct a wrong outcome with `cardwatch label`")
    if status.state is CaseState.OPEN and not by.is_supervisor:
        raise TransitionRefused("the case is assigned to nobody: assign it to yourself before you decide it")
    _require_own(status, by, "decided")
    return _action(status, CaseActionKind.DECIDE, by, at, outcome=outcome, text=clean_text(comment))


def confirm(status: CaseStatus, by: Investigator, at: datetime) -> CaseAction:
    """Return the action that says that the label of the decision is in the log; raises `TransitionRefused`."""
    if not status.is_label_pending:
        raise TransitionRefused("the case waits for no label")
    return _action(status, CaseActionKind.CONFIRM, by, at)


def require_name(name: str, field: str) -> str:
    """Return the name of an investigator; raises `InvalidRecord` for one that no API key could have."""
    if not _NAME.fullmatch(name):
        raise InvalidRecord(
            "is no name: 1 to 64 letters and digits, and between them also spaces and _ . @ / -", field=field
        )
    return name


def clean_text(text: str) -> str:
    """Return a note or comment with card numbers masked.

    Raises `InvalidRecord` for more than `MAX_TEXT` characters and for control characters other than tab and line feed.
    """
    if len(text) > MAX_TEXT:
        raise InvalidRecord(f"has {len(text):,} characters, {MAX_TEXT:,} are taken", field="$.text")
    if _FORBIDDEN.search(text):
        raise InvalidRecord("contains a control character", field="$.text")
    return mask_card_numbers(text)


def _action(
    status: CaseStatus,
    kind: CaseActionKind,
    by: Investigator,
    at: datetime,
    *,
    assignee: str | None = None,
    outcome: CaseOutcome | None = None,
    text: str = "",
) -> CaseAction:
    return CaseAction(
        version=status.version + 1, kind=kind, by=by.name, at=at, assignee=assignee, outcome=outcome, text=text
    )


def _require_undecided(status: CaseStatus, what: str) -> None:
    if status.outcome is not None:
        who = "by a label outside of the queue" if status.decided_by is None else f"by {status.decided_by!r}"
        state = "is being decided" if status.is_label_pending else "is decided"
        raise TransitionRefused(f"the case {state} ({status.outcome.value}, {who}) and cannot be {what}")


def _require_own(status: CaseStatus, by: Investigator, what: str) -> None:
    if status.assignee not in (None, by.name) and not by.is_supervisor:
        raise ScopeMissing(
            f"the case is assigned to {status.assignee!r} and can be {what} by {by.name!r} only with the scope "
            "'cases:supervise'"
        )
