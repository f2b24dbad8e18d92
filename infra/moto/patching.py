"""Registration of the methods that we add to moto, or replace in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


class Patch(NamedTuple):
    """One patched call of an AWS API: attribute `name` of moto's class `owner` becomes `member`.

    `reason` is the first paragraph of the method's docstring: what moto lacks, and what needs it.
    """

    service: str
    call: str
    reason: str
    owner: Any
    name: str
    member: Any


PATCHES: list[Patch] = []
"""All registered patches, in the order of registration."""


def patch(
    service: str, call: str, owner: Any, name: str = "", *, is_property: bool = False
) -> Callable[[Method], Method]:
    """Return a decorator that registers a function as the method, or property, of `owner` that implements `call`.

    `name` defaults to the function's name. `apply_patches` makes the registration effective.
    """

    def register(method: Method) -> Method:
        paragraph = (method.__doc__ or "").strip().split("\n\n")[0]
        reason = " ".join(paragraph.split())
        member = property(method) if is_property else method
        PATCHES.append(Patch(service, call, reason, owner, name or method.__name__, member))
        return method

    return register


def apply_patches() -> None:
    """Set every registered method on its moto class in this process. Existing methods are replaced."""
    for registered in PATCHES:
        setattr(registered.owner, registered.name, registered.member)


def tags_of(backend: Any) -> dict[str, Any]:
    """Return the tags by resource of a moto backend that does not store tags. The caller may modify them."""
    tags: dict[str, Any] = backend.__dict__.setdefault("cardwatch_tags", {})
    return tags
