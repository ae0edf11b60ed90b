"""mulligan systems: what there is."""

from __future__ import annotations

from mulligan.cli.parsing import AsJson, answer, parse


def systems(words: list[str]) -> int:
    """List the systems: what each is, needs and makes.

    Example: mulligan systems --json
    """
    options = parse(systems, words, [AsJson])
    from mulligan.catalog import catalog

    entries = catalog()
    lines = [f"{e['name']:8} {e['title']}\n         needs {e['needs']}; makes {e['makes']}" for e in entries]
    answer(options["json_"], {"systems": entries}, lines)
    return 0
