"""Feature rows of every content type get exact scores and reasons."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from adapters.scoring.wire_format import (
    ATTRIBUTES_HEADER,
    BINARY,
    CSV,
    JSON,
    MSGPACK,
    PER_ROW,
    REASONS_HEADER,
    SCHEMA_HEADER,
    decode_scores,
    encode_rows,
)
from cardwatch.features.definitions import FEATURES, SCHEMA_HASH
from services.scoring.api.invocations import MAX_ROWS
from tests.unit.services.scoring.worker import (
    Reply,
    Service,
    rows,
)


def as_json(asked: NDArray[np.float32], **further: object) -> bytes:
    values = [[None if np.isnan(value) else value for value in row] for row in asked.astype(np.float64).tolist()]
    return msgspec.json.encode({"instances": values, "feature_schema": SCHEMA_HASH, **further})


def as_csv(asked: NDArray[np.float32], missing: str = "") -> bytes:
    lines = (",".join(missing if np.isnan(value) else repr(float(value)) for value in row) for row in asked)
    return "\n".join(lines).encode()


def margins_of(reply: Reply) -> bytes:
    kind = reply.headers[b"content-type"].decode()
    if kind == MSGPACK:
        return decode_scores(reply.body).margins.tobytes()
    if kind == JSON:
        return np.array(reply.json["margins"], np.float64).astype(np.float32).tobytes()
    assert kind == CSV
    lines = reply.body.decode().splitlines()
    return np.array([float(line.split(",")[0]) for line in lines], np.float64).astype(np.float32).tobytes()


def test_rows_of_every_content_type_get_the_exact_margins_and_missing_values_are_missing(
    service: Service,
) -> None:
    asked = rows(100, seed=7)
    expected = service.detector.margins(asked).tobytes()
    assert np.isnan(asked).any(axis=1).all()
    forms = {BINARY: [encode_rows(asked)], JSON: [as_json(asked)], CSV: [as_csv(asked), as_csv(asked, " nan ")]}
    for content_type, bodies in forms.items():
        for body in bodies:
            assert margins_of(service.invoke(body, content_type)) == expected
            for accepted in (MSGPACK, JSON, CSV):
                assert margins_of(service.invoke(body, content_type, Accept=f"text/html, {accepted};q=0.9")) == expected


def test_rows_get_reasons_exactly_from_their_own_threshold_on(service: Service) -> None:
    asked = rows(64, seed=8)
    probabilities = service.detector.probabilities(service.detector.margins(asked))
    reached = np.arange(len(asked)) % 2 == 0
    thresholds = np.where(reached, probabilities, np.nextafter(probabilities, 2.0))
    all_reasons = service.detector.reasons(asked)
    assert all(all_reasons)
    expected = [codes if is_reached else [] for codes, is_reached in zip(all_reasons, reached, strict=True)]
    binary = encode_rows(asked, thresholds)
    in_json = as_json(asked, reasons_above=thresholds.tolist())
    assert decode_scores(service.invoke(binary, BINARY, **{REASONS_HEADER: PER_ROW}).body).reasons == expected
    assert service.invoke(in_json, JSON).json["reasons"] == expected

    middle = float(np.median(probabilities))
    for_all = [codes if p >= middle else [] for codes, p in zip(all_reasons, probabilities, strict=True)]
    said = {ATTRIBUTES_HEADER: f"Feature-Schema = {SCHEMA_HASH} ; reasons-above={middle!r}"}
    by_attributes = service.invoke(as_csv(asked), CSV, schema="in the attributes", **said)
    assert [line.split(",")[2].split("|") for line in by_attributes.body.decode().splitlines()] == [
        codes or [""] for codes in for_all
    ]
    assert service.invoke(as_json(asked, reasons_above=middle), JSON).json["reasons"] == for_all
    assert service.invoke(as_json(asked), JSON).json["reasons"] == [[] for _ in asked]


def test_the_longest_batch_is_taken_and_one_row_more_is_not(service: Service) -> None:
    asked = np.zeros((MAX_ROWS + 1, len(FEATURES)), np.float32)
    assert len(margins_of(service.invoke(encode_rows(asked[:-1]), BINARY))) == 4 * MAX_ROWS
    schema = {SCHEMA_HEADER: SCHEMA_HASH}
    assert service.request("POST", "/invocations", encode_rows(asked), **schema).status == 413
