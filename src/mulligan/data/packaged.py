"""Files of installed packages, found without running their code."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from mulligan.errors import Mistake


def located(package: str, path: str, missing: str) -> Path:
    """A file by its path in a package.

    Args:
        package: top-level, for others are imported to be found; a namespace may lie in several folders.
        path: below the package's folder.
        missing: the message where the package or the file is not there.

    Raises:
        ValueError: it is not there.
    """
    spec = find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (file := Path(folder) / path).is_file():
            return file
    raise Mistake(missing)
