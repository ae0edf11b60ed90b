"""From pydantic models to a command line: tyro reads the words, pydantic checks them, a mistake takes one line."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Sequence
from typing import Annotated, Any

import tyro
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from mulligan.config import nearest
from mulligan.errors import Mistake

# what tyro says of a value, and what it comes to
PLAINER = (
    (re.compile(r"no type matching \{None\}\|INT could be instantiated from \[(.*?)\]\. .*"), r"no whole number: \1"),
    (re.compile(r"no type matching \{None\}\|FLOAT could be instantiated from \[(.*?)\]\. .*"), r"no number: \1"),
    (re.compile(r"no type matching .*? could be instantiated from \[(.*?)\]\. .*"), r"not understood: \1"),
    (re.compile(r"invalid literal for int\(\) with base 10: "), "no whole number: "),
    (re.compile(r"could not convert string to float: "), "no number: "),
    (re.compile(r"invalid choice ('.*?') for argument '(.*?)'\. Expected one of \((.*?),?\)"), r"\2 \1: one of \3"),
    (re.compile(r"(: one of .*?)(?:'None', |, 'None'$)"), r"\1"),  # left out is left out
    (re.compile(r"^Missing value for argument '(.*?)'.*"), r"\1 needs a value"),
    (re.compile(r"^Missing from .*?: (\S+) (.*?) \(required\).*"), r"\1 is missing: \2"),
)


def parse(
    words: list[str],
    models: Sequence[type[BaseModel]],
    *,
    prog: str,
    description: str,
    defaults: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Read `words` as options named by the fields of `models`; checked values, by field name.

    A field with `json_schema_extra={"positional": True}` is read by position, one with `{"short": "o"}` is `-o` too,
    one with `{"append": True}` may be given several times.

    Args:
        words: of the command line, after the verb.
        models: later ones may redefine the fields of earlier ones.
        prog: for --help.
        description: for --help, with an example.
        defaults: instead of the models' own.

    Raises:
        Mistake: an unknown option, a value of the wrong type or out of range.
    """
    fields = {name: field for model in models for name, field in model.model_fields.items()}
    given = defaults or {}
    short = {f"-{letter}": flag(name) for name, field in fields.items() if (letter := extra(field).get("short"))}
    kind = dataclasses.make_dataclass(
        "Options",
        [(name, _annotated(name, field), _default(name, field, given)) for name, field in fields.items()],
        kw_only=True,
    )
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed: Any
            parsed, unknown = tyro.cli(
                kind,
                args=[short.get(word, word) for word in words],
                prog=prog,
                description=description,
                return_unknown_args=True,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise Mistake(f"{prog}: {one_line(said.getvalue())}") from None
    if unknown:
        raise Mistake(f"{prog}: {_unknown(unknown[0], list(fields))}")
    values = dataclasses.asdict(parsed)
    for model in models:
        check(model, {k: values[k] for k in model.model_fields}, prog)
    return values


def check(model: type[BaseModel], values: dict[str, Any], prog: str) -> None:
    """Raise Mistake if pydantic refuses the values; it names the option, the value and the rule."""
    try:
        model(**values)
    except ValidationError as error:
        raise Mistake(f"{prog}: {explain(error)}") from None


def explain(error: ValidationError) -> str:
    """A pydantic error as one line: `--batch 1: input should be greater than or equal to 2`."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return message
    return f"{flag(str(first['loc'][0]))} {first['input']}: {message[0].lower()}{message[1:]}"


def flag(name: str) -> str:
    """A field's option on the command line; a trailing _ only keeps a field apart from a word of Python's."""
    return "--" + name.rstrip("_").replace("_", "-")


def one_line(box: str) -> str:
    """The message inside one of tyro's boxes."""
    lines = [re.sub(r"[│╭╮╰╯─┌┐└┘]|-{3,}", "", line).strip() for line in box.splitlines()]
    lines = [line for line in lines if line]
    end = next((i for i, line in enumerate(lines) if line.startswith(("Argument help", "For full help"))), None)
    text = " ".join(lines[1:end]) or "cannot be understood"
    text = text.removeprefix("Error parsing ").rstrip(".")
    for pattern, plain in PLAINER:
        text = pattern.sub(plain, text)
    return text + "; see --help"


def _default(name: str, field: FieldInfo, given: dict[str, Any]) -> Any:
    if name not in given and field.is_required():
        return dataclasses.field()
    return dataclasses.field(default=given.get(name, field.default))


def _annotated(name: str, field: FieldInfo) -> Any:
    metavar = name.rstrip("_").upper() if extra(field).get("positional") else None
    help_ = tyro.conf.arg(help=field.description or "", name=name.rstrip("_"), metavar=metavar)
    kind: Any = Annotated[field.annotation, help_]
    if extra(field).get("append"):
        return tyro.conf.UseAppendAction[kind]  # type: ignore[misc]
    return tyro.conf.Positional[kind] if extra(field).get("positional") else kind  # type: ignore[misc]


def extra(field: FieldInfo) -> dict[str, Any]:
    """What a field says of its place on the command line: `positional`, `short`, `append`."""
    found = field.json_schema_extra
    return dict(found) if isinstance(found, dict) else {}


def _unknown(word: str, names: list[str]) -> str:
    if not word.startswith("-"):
        return f"{word!r} is one word too many; options begin with --, see --help"
    flags = [flag(name) for name in names]
    return f"there is no option {word}{nearest(word.split('=')[0], flags)}"
