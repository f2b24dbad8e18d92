"""The result of an audit as one HTML file that needs nothing from outside."""

from __future__ import annotations

from pathlib import Path

from adapters.runtime.files import write_atomically
from cardwatch.audit.checks import CHECK_TEXTS, CheckStatus
from cardwatch.wording import plural
from cli.audit import wording
from cli.audit.report import DaysAudit, DecisionAudit
from cli.templates import render


def write_page(path: Path, audit: DecisionAudit | DaysAudit) -> None:
    """Write the audit to `path`."""
    page = _decision_page(audit) if isinstance(audit, DecisionAudit) else _days_page(audit)
    write_atomically(path, page.encode())
    path.chmod(0o644)  # unlike the private files of a stack, it is for others


def _decision_page(audit: DecisionAudit) -> str:
    lineages = [("The model that decided", audit.model), ("The other model that scored", audit.shadow)]
    return render(
        Path(__file__).with_name("decision.html.j2"),
        audit=audit,
        headline=wording.decision_headline(audit),
        facts=wording.facts_of(audit),
        lineages=[(title, lineage) for title, lineage in lineages if lineage is not None],
        words=wording,
        check_texts=CHECK_TEXTS,
        different=CheckStatus.DIFFERENT,
        features=sorted(audit.features, key=lambda feature: -abs(feature.contribution or 0.0)),
    )


def _days_page(audit: DaysAudit) -> str:
    return render(
        Path(__file__).with_name("days.html.j2"),
        audit=audit,
        headline=wording.days_headline(audit),
        words=wording,
        check_texts=CHECK_TEXTS,
        plural=plural,
    )
