"""Other people's programs, run within a time: what they say when they fail, in a few words."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

MOST = 100  # characters of a reason


def failure(
    words: Sequence[str],
    place: Path,
    seconds: int,
    reason: Callable[[str], str],
    out: int = subprocess.DEVNULL,
) -> str:
    """Run a program; why it failed, or "".

    Args:
        words: its command line.
        place: the folder that it runs in.
        seconds: that it may take.
        reason: from what it said on stderr, in English, to a few words; "" where it said nothing of use.
        out: what its output goes to, a file's number.
    """
    english = {**os.environ, "LC_ALL": "C"}
    with tempfile.TemporaryFile() as errors:  # a pipe would be waited for as long as a grandchild holds it
        try:
            done = subprocess.run(
                words, cwd=place, stdin=subprocess.DEVNULL, stdout=out, stderr=errors, env=english, timeout=seconds,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"no answer in {seconds} s"
        except OSError as error:
            return str(error)
        if not done.returncode:
            return ""
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    return (reason(said) or f"status {done.returncode}")[:MOST]
