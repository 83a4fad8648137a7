"""Definitions in files: YAML in, a validated pydantic model out, and messages that name the file, the field and the fix."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

import orjson
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo

from driftline.core.errors import DefinitionError, DriftlineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pydantic_core import ErrorDetails

IDENTIFIER = r"^[a-z0-9](?:[a-z0-9_\-]{0,62}[a-z0-9])?$"
IDENTIFIER_HINT = "lower-case letters, digits, '-' and '_', starting and ending with a letter or digit, at most 64 long"
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f]|\A\.\Z")  # what a field's name cannot hold or be


def identifier(value: str) -> str:
    """The value, if it is an identifier.

    Raises:
        ValueError: It is none; what was expected.
    """
    if not re.fullmatch(IDENTIFIER, value):
        raise ValueError(f"'{value}' is not an identifier: {IDENTIFIER_HINT}")
    return value


def check_name(name: str | None, place: str) -> None:
    """Checks the name of a field of documents.

    Raises:
        ValueError: It holds a control character, or is a dot.
    """
    if name is not None and _NO_NAME.search(name):
        raise ValueError(f"{place}: {name!r} is no field's name: no control characters, not '.'")


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """The value, if it is a mapping.

    Raises:
        DefinitionError: It is none.
    """
    if not isinstance(value, Mapping):
        raise DefinitionError(f"a mapping was expected, not {type(value).__name__}", where=where)
    return value


def from_yaml(text: str, where: str) -> Any:  # noqa: ANN401 - whatever it says
    """What a YAML text says.

    Raises:
        DefinitionError: It is no YAML, or holds what cannot be, such as the 30th of February.
    """
    try:
        return yaml.safe_load(text)
    except RecursionError:
        raise DefinitionError("not valid YAML: it is nested too deeply", where=where) from None
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:  # the latter are of values that cannot be
        raise DefinitionError(f"not valid YAML: {' '.join(str(error).split())}", where=where) from None


def newly_put(info: ValidationInfo, part: Definition | None = None) -> bool:
    """Whether what is validated is put now: a rule that came later is no reason to lose what was stored before it.

    Of a change, a part is put now unless what is changed has the like of it already.
    """
    context = info.context or {}
    return not context.get("stored") and part not in context.get("former", ())


def _parts(definition: Definition) -> Iterator[Definition]:
    """It and all definitions in it."""
    yield definition
    for value in dict(definition).values():
        inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else (value,)
        for part in inner:
            if isinstance(part, Definition):
                yield from _parts(part)


class Definition(BaseModel):
    """Base of everything that is defined in a file: unknown fields are errors, values are frozen."""

    # infinity has no word in JSON: what was saved with it could not be read again
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, data: object, *, where: str, stored: bool = False, former: Self | None = None) -> Self:
        """Validates plain data.

        Args:
            data: A mapping.
            where: How errors call it.
            stored: It was validated when it was put, by the rules of then; those that only new ones go by are left out.
            former: What is changed; what it holds already is taken as stored.

        Raises:
            DefinitionError: What is wrong, in which field, what was expected and what to do.
        """
        try:
            context = {"stored": stored, "former": list(_parts(former)) if former else []}
            return cls.model_validate(dict(mapping(data, where)), context=context)
        except ValidationError as error:
            raise _explain(error, cls, where) from None

    @classmethod
    def load(cls, path: Path, *, former: Callable[[object], Self | None] = lambda _: None) -> Self:
        """Reads one YAML (or JSON) file.

        Args:
            path: The file.
            former: Gives for what the file says the definition that it changes, if there is one.

        Raises:
            DefinitionError: The file cannot be read, is no YAML, or does not say what it must.
        """
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DefinitionError(f"the file cannot be read: {error}", where=str(path)) from None
        data = from_yaml(text, str(path))
        before = former(data)
        made = cls.parse(data, where=str(path), former=before)
        try:  # a query may hold whatever YAML can say; all else goes by JSON
            return cls.parse(orjson.loads(orjson.dumps(made.as_dict())), where=str(path), former=before)
        except (TypeError, ValueError) as error:
            raise DefinitionError(f"it holds what JSON has no words for: {error}", where=str(path)) from None

    def as_dict(self) -> dict[str, Any]:
        """The definition as plain JSON data, with defaults filled in and no nulls."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def digest(self, *, exclude: frozenset[str] = frozenset()) -> str:
        """Twelve hex digits that change when the meaning of the definition does."""
        data = {key: value for key, value in self.as_dict().items() if key not in exclude}
        return hashlib.sha256(orjson.dumps(data, option=orjson.OPT_SORT_KEYS)).hexdigest()[:12]


def _explain(error: ValidationError, model: type[BaseModel], where: str) -> DefinitionError:
    problems = [_problem(detail, model) for detail in error.errors(include_url=False)]
    return DefinitionError("; ".join(problems), where=where)


def _problem(detail: ErrorDetails, model: type[BaseModel]) -> str:
    field = ".".join(str(part) for part in detail["loc"]) or "(the whole definition)"
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    cause = (detail.get("ctx") or {}).get("error")
    if isinstance(cause, DriftlineError):
        message = str(cause)
    if detail["type"] == "extra_forbidden":
        known = _known_fields(model, detail["loc"][:-1])
        near = difflib.get_close_matches(str(detail["loc"][-1]), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known fields: {', '.join(sorted(known))}"
        return f"{field}: unknown field; {hint}"
    if detail["type"] == "missing":
        return f"{field}: required, but not given"
    given = repr(detail["input"]) if not isinstance(detail["input"], Mapping | list) else ""
    return f"{field}: {message}" + (f" (given: {given[:80]})" if given and given not in message else "")


def _known_fields(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """The field names of the nested model that `path` leads to."""
    for part in path:
        if isinstance(part, int) or part not in model.model_fields:
            continue
        inner = _model_in(model.model_fields[part].annotation)
        if inner is not None:
            model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - an annotation may be any typing construct
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _model_in(argument)) is not None:
            return found
    return None
