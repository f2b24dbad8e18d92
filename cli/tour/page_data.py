"""The tour as the page of the console imports it: what its view shows, without what only `docs/whiteboard.md` has.

The system's picture on AWS, with sizes and prices, is beside it: it also comes from a page of the docs.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from adapters.runtime.files import write_atomically
from cli.estimate.page_data import estimator_data
from cli.estimate.sources import estimator
from cli.tour.catalogue import figures
from cli.tour.document import tour_data
from cli.tour.reading import ROOT
from infra.aws.cost.picture import aws_pictures
from infra.aws.cost.prices import costs_page

PAGE_DATA: Final = ROOT / "services" / "console" / "page" / "src" / "generated" / "tour.json"
"""What the console's page imports. It is rebuilt from `docs/tour` and not committed."""


def page_data(tour: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the view shows of `cli.tour.document.tour_data`.

    The drawing of the system and its boxes are left out, because the view Live has them; of the other drawings only the
    titles stay, because the page does not draw Mermaid, and of a figure what the text shows and its source.
    """
    return {
        "talk_minutes": tour["talk_minutes"],
        "introduction": tour["overview"]["introduction"],
        "stops": [_page_stop(stop) for stop in tour["stops"]],
        "estimator": estimator_data(estimator()),
        "aws": msgspec.to_builtins(aws_pictures(costs_page())),
    }


def write_page_data(tour: Mapping[str, Any], file: Path = PAGE_DATA) -> None:
    """Write the tour for the page, which must be there before the page is built; leave an equal file as it is."""
    content = msgspec.json.format(msgspec.json.encode(page_data(tour)), indent=1) + b"\n"
    if file.is_file() and file.read_bytes() == content:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, content)


def refresh_page_data(file: Path = PAGE_DATA) -> None:
    """Write the tour of this checkout for the page; raise `TourError` if it cannot be read."""
    write_page_data(tour_data(figures()), file)


def _page_stop(stop: Mapping[str, Any]) -> dict[str, Any]:
    questions = [
        {**question, "figures": [{"shown": used["shown"], "source": used["source"]} for used in question["figures"]]}
        for question in stop["questions"]
    ]
    return {**stop, "questions": questions, "drawings": [drawing["title"] for drawing in stop["drawings"]]}
