"""Identity hashes against the published vectors and the reference implementation."""

import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from cardwatch.features.hashing import hash_slices, identity_hash, identity_hashes


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("", 0xEF46DB3751D8E999),
        ("a", 0xD24EC4F1A98C6E5B),
        ("abc", 0x44BC2CF5AD770999),
        ("Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_published_vectors(text: str, digest: int) -> None:
    assert identity_hash(text) == digest


@settings(deadline=None)
@given(st.text(max_size=100))
def test_one_identifier_has_the_hash_of_the_reference_implementation(text: str) -> None:
    assert identity_hash(text) == xxhash.xxh64_intdigest(text.encode())


@settings(deadline=None)
@given(st.lists(st.none() | st.text(max_size=70), max_size=30))
def test_many_identifiers_have_the_hashes_that_each_has_alone(texts: list[str | None]) -> None:
    assert identity_hashes(texts).tolist() == [identity_hash(text) for text in texts]


def test_no_identifier_is_zero() -> None:
    assert identity_hash(None) == 0
    assert identity_hash("") != 0


@pytest.mark.parametrize("kind", [np.int32, np.int64])
def test_texts_that_lie_in_one_buffer_are_hashed_where_they_are(kind: type) -> None:
    data = np.frombuffer(b"xxabcyy", np.uint8)
    assert hash_slices(data, np.array([2, 5, 5, 7], kind)).tolist() == [
        identity_hash(text) for text in ("abc", "", "yy")
    ]
