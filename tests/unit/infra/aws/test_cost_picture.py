"""The console's picture of the system on AWS has the items of the bill, each once."""

from __future__ import annotations

import pytest

from cardwatch.live.frames import BOXES
from infra.aws.cost.document import ENVIRONMENTS, bill_table
from infra.aws.cost.picture import AwsPicture, aws_pictures
from infra.aws.cost.prices import costs_page
from infra.aws.environments import Environment

PICTURES = aws_pictures(costs_page())


@pytest.mark.parametrize("picture", PICTURES, ids=[picture.environment for picture in PICTURES])
def test_the_boxes_and_the_other_items_add_up_to_the_bill(picture: AwsPicture) -> None:
    items = [item for box in picture.boxes.values() for item in box] + picture.others
    assert sum(item.dollars for item in items) == pytest.approx(picture.dollars, abs=0.01 * len(items))
    printed = bill_table(Environment(picture.environment), (0, picture.rate), costs_page())
    for item in items:
        assert f"| {item.service} |" in printed
        assert item.quantities in printed
    assert f"**{picture.dollars:,.2f}**" in printed


def test_every_environment_of_the_page_has_a_picture_and_prices_belong_to_boxes_of_the_diagram() -> None:
    assert [picture.environment for picture in PICTURES] == list(ENVIRONMENTS)
    for picture in PICTURES:
        assert set(picture.boxes) <= set(BOXES)
        assert picture.boxes["kafka"]
        assert picture.boxes["scoring"]
