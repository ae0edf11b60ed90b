"""mulligan data: list the sources, get one, check one."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import Field

from mulligan.cli.parsing import AsJson, answer, parse, positional
from mulligan.config import Data, Options, nearest
from mulligan.errors import Mistake


class DataName(Options):
    name: str = positional("a built-in source")


class Check(Data, AsJson):
    data: str = positional("a name, a folder of images, or a .npy, .npz or .csv file")
    conditional: bool = Field(default=False, description="check that a conditional system could use it")


def data(words: list[str]) -> int:
    """What data there is, and whether yours will do: data list, data get NAME, data check DATA.

    Example: mulligan data check ~/photos --size 64
    """
    actions: dict[str, Callable[[list[str]], int]] = {
        "list": _data_list,
        "get": _data_get,
        "check": _data_check,
    }
    if not words or words[0] in ("-h", "--help"):
        print(f"usage: mulligan data list | get NAME | check DATA\n\n{data.__doc__}")
        return 0
    if words[0] not in actions:
        raise Mistake(f"mulligan data: there is no {words[0]!r}{nearest(words[0], actions)}")
    return actions[words[0]](words[1:])


def _data_list(words: list[str]) -> int:
    from mulligan.data import describe

    options = parse(data, words, [AsJson], "list")
    sources = describe()
    lines = [f"{source['name']:10} {source['about']} ({source['kind']}; {source['licence']})" for source in sources]
    answer(options["json_"], {"sources": sources}, lines)
    return 0


def _data_get(words: list[str]) -> int:
    from mulligan.data import get
    from mulligan.display import counting

    print(get(parse(data, words, [DataName], "get")["name"], progress=counting))
    return 0


def _data_check(words: list[str]) -> int:
    from mulligan.data import check
    from mulligan.display import counting

    options = parse(data, words, [Check], "check")
    as_json = options.pop("json_")
    report = check(options.pop("data"), **options, progress=counting)
    answer(as_json, report.to_json(), report.lines())
    return 2 if report.stops else 0
