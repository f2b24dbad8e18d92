"""The page: sections in a validator's order, and where a supervisor's headings are answered."""

from __future__ import annotations

from typing import Final

from models.model_card import development, governance, outcomes
from models.model_card.markdown import table
from models.model_card.subject import CardSubject

SECTIONS: Final = (
    "Purpose and intended use",
    "Data and population",
    "Method",
    "Alternatives and baselines",
    "Performance",
    "Slices",
    "Calibration",
    "Stability",
    "Monitoring plan",
    "Limitations and known failures",
    "Decision policy, costs and error rates",
    "Owner, approval and change history",
)

# The headings are those of SR letter 11-7 of the Federal Reserve (4 April 2011). SR 26-2 superseded it on 17 April
# 2026; its text was not at hand, so nothing is claimed about its headings.
_HEADINGS: Final = (
    ("Model development and implementation", (1, 2, 3, 4)),
    ("Model use", (1, 10, 11)),
    ("Evaluation of conceptual soundness", (2, 3, 4)),
    ("Ongoing monitoring", (8, 9)),
    ("Outcomes analysis", (5, 6, 7, 8)),
    ("Governance, policies and controls", (11, 12)),
    ("Documentation", tuple(range(1, len(SECTIONS) + 1))),
)

_PAGE: Final = """\
# Card-fraud detector {digest}

Verdict: **{verdict}**, judged {judged}. Every figure is computed from the model, its training set, the policy and the
bundle of the verdict; docs/verdict.md defines them.

{headings}

The headings are those of the Federal Reserve's SR 11-7, *Guidance on Model Risk Management* (2011). SR 26-2 superseded
it on 17 April 2026; its text was not checked for this page. This outline is no statement of compliance, and it is
written by the system that trained the model: a validation is somebody else's work.

{sections}
"""


def model_card(subject: CardSubject) -> str:
    """Return the model card as Markdown."""
    texts = (
        development.PURPOSE,
        development.data(subject),
        development.method(subject),
        development.alternatives(subject),
        outcomes.performance(subject),
        outcomes.slices(subject),
        outcomes.calibration(subject),
        outcomes.days_of_judging(subject),
        governance.monitoring(subject),
        governance.limitations(subject),
        governance.policy(subject),
        governance.approval(subject),
    )
    sections = "\n\n".join(
        f"## {number}. {title}\n\n{text}" for number, (title, text) in enumerate(zip(SECTIONS, texts, strict=True), 1)
    )
    return _PAGE.format(
        digest=subject.digest[:12],
        verdict="promoted" if subject.report.verdict.promoted else "refused",
        judged=f"with the data of {subject.inputs.as_of}",
        headings=table(
            ["heading of SR 11-7", "sections"],
            [[heading, ", ".join(map(str, numbers))] for heading, numbers in _HEADINGS],
        ),
        sections=sections,
    )
