"""Checks the arguments that programs pass to the SDK. The error for a wrong argument contains the name of the field.

Each function returns the value in the form that the SDK uses. It raises WrongType for a value of a wrong type (a string
instead of a list of strings, a bool instead of a number), and InvalidRequest for a value out of its range.
"""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Iterable, Mapping
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tron_client.address import Address
from tron_client.errors import FieldError, InvalidRequest, WrongType

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SECONDS = 1e9
"""The longest duration that is accepted, in seconds: about 31 years. This is less than the longest wait that Python's
locks accept."""
MAX_WHOLE = 2**63 - 1
_MAX_DEPTH = 24
"""Levels of a JSON object: more than the registry takes, and few enough that protobuf can carry them to be refused."""

C = TypeVar("C", bound="Callable[..., object] | None")


def wrong_type(field: str, expected: str, value: object) -> NoReturn:
    """Raise WrongType for one field. The message contains the wrong value, and `expected`, which describes the values
    that are accepted."""
    try:
        shown = reprlib.repr(value)
    except Exception:  # the program's own __repr__ failed
        shown = f"of type {type(value).__name__}"
    description = f"is {shown}; it must be {expected}"
    raise WrongType(f"{field}: {description}", fields=(FieldError(field, description),))


def refuse(field: str, description: str) -> NoReturn:
    """Raise InvalidRequest for one field; `description` says what is wrong."""
    raise InvalidRequest(f"{field}: {description}", fields=(FieldError(field, description),))


def text(field: str, value: object, *, empty: bool = True) -> str:
    """Check that a value is a string that UTF-8 can encode, and return it. With `empty` False, the empty string is
    refused."""
    if not isinstance(value, str):
        wrong_type(field, "a string", value)
    try:
        value.encode()
    except UnicodeEncodeError:
        refuse(field, "has a character that UTF-8 cannot encode (half of a surrogate pair)")
    if not value and not empty:
        refuse(field, "must not be empty")
    return value


def optional_text(field: str, value: object) -> str | None:
    """Check that a value is None, or a string that UTF-8 can encode, and return it."""
    return None if value is None else text(field, value)


def optional_address(field: str, value: object) -> Address | str | None:
    """Check that a value is an Endpoint, a string or None, and return it."""
    return value if isinstance(value, Address) else optional_text(field, value)


def texts(field: str, value: object) -> tuple[str, ...]:
    """Check that a value is a list (or another iterable) of strings, and return the strings as a tuple. A single string
    and a mapping are refused."""
    if isinstance(value, str | bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        wrong_type(field, "a list of strings", value)
    return tuple(text(f"{field}[{index}]", each) for index, each in enumerate(value))


def number(field: str, value: object, *, at_least: float = 0.0, at_most: float = math.inf) -> float:
    """Check that a value is a finite number from `at_least` to `at_most`, and return it as a float."""
    if not isinstance(value, Real) or isinstance(value, bool):
        wrong_type(field, "a number", value)
    try:
        converted = float(value)
    except OverflowError:
        converted = math.inf
    if not math.isfinite(converted):
        refuse(field, f"is {reprlib.repr(value)}; it must be a finite number")
    _within(field, converted, at_least, at_most)
    return converted


def whole(field: str, value: object, *, at_least: int = 0, at_most: int = MAX_WHOLE) -> int:
    """Check that a value is a whole number from `at_least` to `at_most`, and return it as an int."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        wrong_type(field, "a whole number", value)
    converted = int(value)
    _within(field, converted, at_least, at_most)
    return converted


def seconds(field: str, value: object, *, positive: bool = True) -> float:
    """Check that a value is a number of seconds above 0, and return it as a float. With `positive` False, 0 is accepted
    too."""
    if not isinstance(value, Real) or isinstance(value, bool):
        wrong_type(field, "a number of seconds", value)
    duration = number(field, value, at_least=-math.inf, at_most=MAX_SECONDS)
    if duration < 0 or (positive and duration == 0):
        refuse(field, f"is {duration:g}; it must {'be positive' if positive else 'not be negative'}")
    return duration


def optional_seconds(field: str, value: object, *, positive: bool = True) -> float | None:
    """Check that a value is None, or a number that the function `seconds` accepts, and return it."""
    return None if value is None else seconds(field, value, positive=positive)


def flag(field: str, value: object) -> bool:
    """Check that a value is True or False, and return it."""
    if not isinstance(value, bool):
        wrong_type(field, "True or False", value)
    return value


def json_object(field: str, value: object) -> dict[str, Any] | None:
    """Check that a value is None, or a mapping that JSON can express, and return a copy. If JSON cannot express some
    part of the mapping, the error contains the path of this part."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        wrong_type(field, "a JSON object (a mapping)", value)
    plain: dict[str, Any] = _json(field, value, 1)
    return plain


def amounts(field: str, value: object) -> dict[str, float] | None:
    """Check that a value is None, or a mapping of names to numbers that are not negative, and return a copy."""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        wrong_type(field, "a mapping of names to numbers", value)
    return {text(f"{field} key", key): number(f"{field}[{key!r}]", each) for key, each in value.items()}


def callback(field: str, value: C, *, arguments: int = 1) -> C:
    """Check that a value is None, or a function or coroutine function that can be called with this number of arguments,
    and return it."""
    if value is None:
        return value
    if not callable(value):
        wrong_type(field, "a function or a coroutine function", value)
    if _makes_a_generator(value):
        wrong_type(field, "a function or a coroutine function (a generator would never run)", value)
    try:
        signature = inspect.signature(value)
    except (ValueError, TypeError):  # a builtin that does not say what it takes
        return value
    try:
        signature.bind(*[None] * arguments)
    except TypeError:
        plural = "argument" if arguments == 1 else "arguments"
        wrong_type(field, f"callable with {arguments} {plural}; it takes {signature}", value)
    return value


def _makes_a_generator(callback: Any) -> bool:
    """Return whether a call only creates a generator and so runs nothing: checked for functions, for the function in a
    `partial`, and for callable objects."""
    inner = callback.func if isinstance(callback, partial) else callback
    kinds = (inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    by_call = None if inspect.isclass(inner) else type(inner).__dict__.get("__call__")
    return any(is_kind(each) for is_kind in kinds for each in (inner, by_call))


def _json(path: str, value: object, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        refuse(path, f"is nested deeper than {_MAX_DEPTH} levels")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(path, value)
    if isinstance(value, Real):
        return number(path, value, at_least=-math.inf)
    if isinstance(value, Mapping):
        for key in value:
            text(f"{path} key", key)
        return {key: _json(f"{path}[{key!r}]", each, depth + 1) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_json(f"{path}[{index}]", each, depth + 1) for index, each in enumerate(value)]
    return wrong_type(path, "a JSON value", value)


def _within(field: str, value: float, at_least: float, at_most: float) -> None:
    if value < at_least:
        bound = "must not be negative" if at_least == 0 else f"must be at least {at_least:g}"
        refuse(field, f"is {value:g}; it {bound}")
    if value > at_most:
        refuse(field, f"is {value:g}; it must be at most {at_most:g}")
