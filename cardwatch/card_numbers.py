"""Detection of card numbers (primary account numbers), which must never enter the system in place of a token.

A card number has 12 to 19 digits, the last of which is a Luhn check digit (ISO/IEC 7812-1). One random number in ten
has a valid check digit too. So identifiers other than the card's are refused only if they also have the prefix and the
length of a brand.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from itertools import accumulate
from typing import Final
from unicodedata import decimal

_SEPARATORS: Final = r"[\W_]{0,3}"
"""Up to three characters that are neither letters nor digits: blanks of any width, points, dashes, zero-width marks."""
_WRITTEN: Final = re.compile(rf"\d(?:{_SEPARATORS}\d){{12,18}}")
"""13 to 19 digits with separators, as spreadsheets, people and exports write them."""
_AROUND: Final = re.compile(r"^[^\w-]+|[\W_]+$")
"""Marks around a number: apostrophes, quotes, the `="` of spreadsheets. A minus in front makes it another number."""
_WHOLE_FLOAT: Final = re.compile(r"(\d{13,19})[.,]0+")
"""A whole number that was read as a float, as pandas writes it once a value in the column is missing."""
_EXPONENT: Final = re.compile(r"\d[.,]\d+[eE]\+?0*(1[2-8])")
"""A number of 13 to 19 digits in exponent form."""
_GROUPS: Final = re.compile(rf"\d(?:{_SEPARATORS}\d){{12,}}")
_CANDIDATE: Final = re.compile(rf"\d(?:{_SEPARATORS}\d){{12}}|^{_EXPONENT.pattern}$")
"""A pattern that every form of a card number contains."""
_SHORTEST: Final = 13
"""Digits of the shortest card number."""
_OTHERS: Final = bytes(set(range(256)) - set(b"0123456789"))
"""All bytes but the ASCII digits."""
_GROUP: Final = re.compile(r"\d+")
_PART: Final = re.compile(rf"(?<![^\W_])\d(?:{_SEPARATORS}\d){{12,}}(?![^\W_])")
"""Groups of digits that touch no letter: a hash in hexadecimal digits has none that is long enough by chance."""
_LONGEST_GROUP: Final = 6
"""Digits of the longest group in which a card number is printed: the second of American Express and Diners Club."""
_MASK: Final = "[card number]"
_DAY_OF_MONTH: Final = r"(?:0[1-9]|[12]\d|3[01])"
_TIME_OF_DAY: Final = r"(?:[01]\d|2[0-3]):[0-5]\d(?::(?:[0-5]\d|60)(?:[.,]\d{1,9})?)?"
_MOMENT: Final = re.compile(
    rf"""(?<!\d)(?:
        (?P<date>(?:19|20|21)\d\d(?P<mark>[-/.])(?:0[1-9]|1[0-2])(?P=mark){_DAY_OF_MONTH}
            |{_DAY_OF_MONTH}(?P<other>[-/.]){_DAY_OF_MONTH}(?P=other)(?:19|20|21)\d\d)
        (?P<moment>[ ]{_TIME_OF_DAY}(?:[ ]?[+-](?:0\d|1[0-4]):?[0-5]\d)?)?
        |{_TIME_OF_DAY}
    )(?!\d)""",
    re.ASCII | re.VERBOSE,
)
"""A date, a time of day with colons, or both with a blank between: `2025-01-02 03:04:05.678+01:00`."""

# Ranges of the first six digits, and the lengths that are issued.
# Source: ISO/IEC 7812 prefixes as listed in "Payment card number", Wikipedia, 2026.
_BRANDS: Final[tuple[tuple[int, int, frozenset[int]], ...]] = (
    (400000, 499999, frozenset({13, 16})),  # Visa
    (510000, 559999, frozenset({16})),  # Mastercard
    (222100, 272099, frozenset({16})),
    (340000, 349999, frozenset({15})),  # American Express
    (370000, 379999, frozenset({15})),
    (601100, 601199, frozenset({16})),  # Discover
    (644000, 659999, frozenset({16})),
    (300000, 305999, frozenset({14, 16})),  # Diners Club
    (309500, 309599, frozenset({14, 16})),
    (360000, 369999, frozenset({14, 16})),
    (380000, 399999, frozenset({14, 16})),
    (352800, 358999, frozenset({16})),  # JCB
    (620000, 629999, frozenset({16, 17, 18, 19})),  # UnionPay
    (220000, 220499, frozenset({16, 17, 18, 19})),  # Mir
    (979200, 979299, frozenset({16})),  # Troy
    *((prefix * 100, prefix * 100 + 99, frozenset(range(13, 20))) for prefix in (5018, 5020, 5038, 5893, 6304, 6759)),
    (676100, 676399, frozenset(range(13, 20))),  # Maestro, as the line before
)


def may_hold_number(text: str) -> bool:
    """Return whether a card number may be in the text, in a third of a microsecond for most identifiers.

    They have fewer digits than a card number. Only its exponent form, which begins with a digit, has fewer too.

    >>> may_hold_number("transaction-0002-00000000"), may_hold_number("tok_4111111111111111")
    (False, True)
    """
    if text.isascii() and not text[:1].isdecimal() and len(text.encode().translate(None, _OTHERS)) < _SHORTEST:
        return False
    return _CANDIDATE.search(text) is not None


def looks_like_card_number(text: str) -> bool:
    """Return whether `text` is a number of 13 to 19 digits with a valid Luhn check digit, however it is written.

    Separators, a trailing `.0` and the exponent form are recognized. A number in exponent form has lost its last
    digits, so that its check digit does not count.

    >>> looks_like_card_number("4111 1111 1111 1111"), looks_like_card_number("4111111111111111.0")
    (True, True)
    >>> looks_like_card_number("4.11111E+15"), looks_like_card_number("card-000017")
    (True, False)
    """
    if text.isdecimal() and not 13 <= len(text) <= 19:  # the usual case of a short number
        return False
    if _EXPONENT.fullmatch(text):
        return True
    return has_valid_check_digit(_digits(text))


def has_prefix_of_brand(text: str) -> bool:
    """Return whether `text` looks like a card number and has the prefix and the length of a brand.

    >>> has_prefix_of_brand("4111111111111111"), has_prefix_of_brand("1714557600000009")
    (True, False)
    """
    plain = text.isascii() and text.isdecimal()  # the usual case of a long number
    digits = text if plain else _plain_exponent(text) or _digits(text)
    if not 13 <= len(digits) <= 19:
        return False
    prefix = int(digits[:6])
    of_brand = any(first <= prefix <= last and len(digits) in lengths for first, last, lengths in _BRANDS)
    return of_brand and has_valid_check_digit(digits)


def holds_number_of_brand(text: str) -> bool:
    """Return whether `text` is a card number with the prefix and the length of a brand, or holds one beside other text.

    >>> holds_number_of_brand("tok_4111111111111111"), holds_number_of_brand("refund to 4111 1111 1111 1111")
    (True, True)
    >>> holds_number_of_brand("a4111111111111111"), holds_number_of_brand("-4111111111111111")
    (False, False)
    """
    if not may_hold_number(text):
        return False
    if text.removeprefix("-").isdecimal():
        return has_prefix_of_brand(text)  # which a negative number, such as a signed hash, never has
    if not text[0].isalpha() and has_prefix_of_brand(text):
        return True
    return any(map(_groups_hold_number, _PART.findall(text)))


def is_number_of_card(text: str) -> bool:
    """Return whether the identifier of a card is a card number in any form, or holds one of a brand beside other text.

    It is checked more strictly than other identifiers: a valid check digit is enough, and a minus makes no difference.

    >>> is_number_of_card("1714557600000008"), is_number_of_card("-4111111111111111"), is_number_of_card("card-000017")
    (True, True, False)
    """
    if not may_hold_number(text):
        return False
    return (not text[0].isalpha() and looks_like_card_number(text.removeprefix("-"))) or holds_number_of_brand(text)


def mask_card_numbers(text: str) -> str:
    """Return free text with every card number in it replaced, for messages and logs.

    Dates and times stay, although the digits of one in ten have a valid check digit.

    >>> mask_card_numbers("Export of card 4111-1111-1111-1111, 2 rows")
    'Export of card [card number], 2 rows'
    """
    parts, position = [], 0
    for start, end in card_number_spans(text):
        parts += [text[position:start], _MASK]
        position = end
    return "".join([*parts, text[position:]])


def is_moment(text: str) -> bool:
    """Return whether a text is a date with a time of day, as people and exports write it.

    >>> is_moment("2025-01-02 03:04:05"), is_moment("4111 1111 1111 1111"), is_moment("20250102030405")
    (True, False, False)
    """
    found = _MOMENT.fullmatch(text)
    return found is not None and found["moment"] is not None


def card_number_spans(text: str) -> list[tuple[int, int]]:
    """Return where card numbers begin and end in free text, from left to right.

    >>> card_number_spans("card 4111-1111-1111-1111, 2 rows")
    [(5, 24)]
    """
    return [
        (found.start() + start, found.start() + end)
        for found in _GROUPS.finditer(text)
        for start, end in _spans_in_groups(found[0])
    ]


def digits_of(text: str) -> str:
    """Return the digits of a text that `looks_like_card_number`, however it is written; else the empty string.

    A number in exponent form has lost digits and gives the empty string.

    >>> digits_of("4111 1111 1111 1111"), digits_of("4111111111111111.0"), digits_of("card-000017")
    ('4111111111111111', '4111111111111111', '')
    """
    digits = _digits(text)
    return digits if has_valid_check_digit(digits) else ""


def has_valid_check_digit(digits: str) -> bool:
    """Return whether 13 to 19 digits end with their Luhn check digit; False for any other text."""
    if not (13 <= len(digits) <= 19 and digits.isascii() and digits.isdecimal()):
        return False
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (doubled + sum(map(int, digits[-1::-2]))) % 10 == 0


def _spans_in_groups(text: str) -> Iterator[tuple[int, int]]:
    """Yield the longest runs of whole groups of digits that are card numbers, from the left."""
    groups = list(_GROUP.finditer(text))
    moments = _moments_of_groups(text, groups)
    digits = _in_ascii("".join(group[0] for group in groups))
    begins = list(accumulate((len(group[0]) for group in groups), initial=0))
    is_valid = _check_of_parts(digits)
    first = 0
    while first < len(groups):
        for until in range(min(first + 19, len(groups)), first, -1):
            begin, end = begins[first], begins[until]
            if is_valid(begin, end) and not _is_moment(digits[begin:end], moments, first, until):
                yield groups[first].start(), groups[until - 1].end()
                first = until
                break
        else:
            first += 1


def _check_of_parts(digits: str) -> Callable[[int, int], bool]:
    """Return `has_valid_check_digit` for the parts of `digits` from a place up to another one.

    It takes the same time for every part, so that a megabyte of digits in small groups does not take half a minute.
    """
    single = [int(digit) for digit in digits]
    doubled = [sum(divmod(2 * digit, 10)) for digit in single]
    # Sums up to each place, where the digits at even places are single (0), or those at odd ones (1).
    sums = [
        list(accumulate((one[place % 2][place] for place in range(len(digits))), initial=0))
        for one in ((single, doubled), (doubled, single))
    ]

    def is_valid(begin: int, end: int) -> bool:
        if not 13 <= end - begin <= 19:
            return False
        of_last = sums[(end - 1) % 2]
        return (of_last[end] - of_last[begin]) % 10 == 0

    return is_valid


def _moments_of_groups(text: str, groups: Sequence[re.Match[str]]) -> list[re.Match[str] | None]:
    """Return for each group of digits the date or time that it is part of."""
    found = _MOMENT.finditer(text)
    moment = next(found, None)
    moments: list[re.Match[str] | None] = []
    for group in groups:
        while moment is not None and moment.end() <= group.start():
            moment = next(found, None)
        moments.append(moment if moment is not None and moment.start() <= group.start() else None)
    return moments


def _is_moment(digits: str, moments: Sequence[re.Match[str] | None], first: int, until: int) -> bool:
    """Whether digits with a valid check digit, of the groups from `first` on, are dates and times and no card number.

    No brand's numbers are written as a date with a time, and none begins or ends within a date. Whole dates alone,
    whole times alone, and dates with a time beside other digits count only if the digits are not those of a brand.
    """
    covered = moments[first:until]
    has_date_with_time = any(moment is not None and moment["moment"] for moment in covered)
    if not all(covered):
        return has_date_with_time and not has_prefix_of_brand(digits)
    begins_within = first > 0 and moments[first - 1] is moments[first]
    ends_within = until < len(moments) and moments[until] is moments[until - 1]
    return has_date_with_time or begins_within or ends_within or not has_prefix_of_brand(digits)


def _groups_hold_number(part: str) -> bool:
    """Whether one group of digits is a card number, or groups in a row are, as people group them: 4-4-4-4 or 4-6-5.

    So a sequence number or an expiry date behind it hides none, and a UUID or a date with a number is none.
    """
    groups = _GROUP.findall(part)
    if any(map(has_prefix_of_brand, groups)):
        return True
    printed = [3 <= len(group) <= _LONGEST_GROUP for group in groups]
    return any(
        all(printed[first : first + count]) and has_prefix_of_brand("".join(groups[first : first + count]))
        for count in (3, 4, 5)
        for first in range(len(groups) - count + 1)
    )


def _digits(text: str) -> str:
    """Return the digits of a number that is written as card numbers are, or the empty string."""
    text = _AROUND.sub("", text)
    whole = _WHOLE_FLOAT.fullmatch(text)
    if whole is None and not _WRITTEN.fullmatch(text):
        return ""
    return _in_ascii(whole[1] if whole else "".join(_GROUP.findall(text)))


def _in_ascii(digits: str) -> str:
    """Return decimal digits of any script as ASCII digits."""
    return digits if digits.isascii() else "".join(str(decimal(digit)) for digit in digits)


def _plain_exponent(text: str) -> str:
    return str(int(Decimal(text.replace(",", ".")))) if _EXPONENT.fullmatch(text) else ""
