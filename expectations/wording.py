"""A wrong contract in words: at which place, what is wrong, and what is allowed there."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

MOST_PROBLEMS = 5

_ONE = {"columns": "column", "rules": "rule", "personas": "persona", "products": "product"}
_TESTS = ("sum", "together", "at_most")

# pydantic's kinds of error; `{input}` is what stands in the contract
_WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "string_type": "must be text, not {input}: put it in quotes",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "{input} is not allowed; it must match {pattern}",
    "float_type": "must be a number, not {input}",
    "int_type": "must be a whole number, not {input}",
    "finite_number": "must be a finite number, not {input}",
    "bool_type": "must be true or false, not {input}",
    "bool_parsing": "must be true or false, not {input}",
    "tuple_type": "must be a list such as [A, B], not {input}",
    "dict_type": "must be a mapping such as {{a: b}}, not {input}",
    "model_type": "must be a mapping such as {{a: b}}, not {input}",
    "model_attributes_type": "must be a mapping such as {{a: b}}, not {input}",
    "too_short": "needs {min_length} or more",
    "literal_error": "must be {expected}, not {input}",
    "union_tag_not_found": "test is missing; it says what must hold: sum, together or at_most",
    "union_tag_invalid": "test must be one of {expected_tags}, not '{tag}'",
    "greater_than": "must be above {gt:g}, not {input}",
    "greater_than_equal": "must be {ge:g} or more, not {input}",
    "less_than_equal": "must be {le:g} or less, not {input}",
    "value_error": "{error}",
}


def in_words(
    error: ValidationError,
    given: Mapping[str, Any],
    whole: type[BaseModel],
    parts: Mapping[str, type[BaseModel]],
) -> str:
    """Say what is wrong with the `given` contract.

    `whole` is its model and `parts` the models below it, by key or test, for the names of the
    fields that are allowed.
    """
    problems = error.errors(include_url=False)
    told = [_sentence(dict(problem), given, whole, parts) for problem in problems[:MOST_PROBLEMS]]
    more = len(problems) - MOST_PROBLEMS
    text = "; ".join([*told, f"and {more} more"] if more > 0 else told)
    return text if text.endswith("?") else f"{text}."


def _sentence(
    problem: Mapping[str, Any],
    given: Mapping[str, Any],
    whole: type[BaseModel],
    parts: Mapping[str, type[BaseModel]],
) -> str:
    where, rest = _place(problem["loc"], given)
    if problem["type"] == "extra_forbidden":
        what = _unknown_field(problem["loc"], whole, parts)
    else:
        words = _WORDS.get(problem["type"], "{msg}")
        shown = {"input": _shown(problem["input"]), "msg": problem["msg"]}
        gap = ": " if problem["type"] == "value_error" else " "
        what = gap.join([*rest, words.format(**problem.get("ctx", {}), **shown)])
    return f"{where}: {what}" if where else what


def _place(loc: Sequence[int | str], given: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The thing in the contract, by its name where it has one, and the field below it."""
    if len(loc) < 2 or loc[0] not in _ONE:
        return "", [".".join(str(part) for part in loc)] if loc else []
    section, which, *rest = str(loc[0]), *loc[1:]
    if section == "rules" and rest and rest[0] in _TESTS:
        rest = rest[1:]
    if isinstance(which, int) and isinstance(given[section], list):
        one = given[section][which]
        named = one.get("name") if isinstance(one, Mapping) else None
        which = named or f"number {which + 1}"
    field = ".".join("the name" if part == "[key]" else str(part) for part in rest)
    return f"{_ONE[section]} {which}", [field] if field else []


def _unknown_field(
    loc: Sequence[int | str], whole: type[BaseModel], parts: Mapping[str, type[BaseModel]]
) -> str:
    *above, field = loc
    model = next((parts[str(key)] for key in reversed(above) if key in parts), whole)
    near = difflib.get_close_matches(str(field), model.model_fields, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(model.model_fields)}"
    return f"unknown field {field}: {hint}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "nothing"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
