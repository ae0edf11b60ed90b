"""mulligan systems: what there is."""

from __future__ import annotations

from mulligan.cli.parsing import AsJson, parse, print_json


def systems(words: list[str]) -> int:
    """List the systems: what each is, needs and makes.

    Example: mulligan systems --json
    """
    options = parse(systems, words, [AsJson])
    from mulligan.catalog import catalog

    entries = catalog()
    if options["json_"]:
        print_json({"systems": entries})
        return 0
    for entry in entries:
        print(f"{entry['name']:8} {entry['title']}\n         needs {entry['needs']}; makes {entry['makes']}")
    return 0
