"""The register of what we add to moto: calls that it lacks, or answers without doing anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])


class Added(NamedTuple):
    """A call of AWS that is ours. `name` of the class `owner` in moto becomes `method`.

    `reason` is the first paragraph of the method's docstring: what moto does without it, and who needs it.
    """

    service: str
    call: str
    reason: str
    owner: Any
    name: str
    method: Any


REGISTER: list[Added] = []


def added(
    service: str, call: str, owner: Any, name: str = "", *, is_property: bool = False
) -> Callable[[Method], Method]:
    """Register a function as the method, or property, of `owner` that does `call` of AWS's `service`.

    It has the function's name if `name` does not say otherwise, and takes effect in `install`.
    """

    def register(method: Method) -> Method:
        paragraph = (method.__doc__ or "").strip().split("\n\n")[0]
        reason = " ".join(paragraph.split())
        member = property(method) if is_property else method
        REGISTER.append(Added(service, call, reason, owner, name or method.__name__, member))
        return method

    return register


def install() -> None:
    """Put everything registered into moto, in this process. A method that is there already is replaced."""
    for addition in REGISTER:
        setattr(addition.owner, addition.name, addition.method)
