"""From the words of a command line to an exit status.

A mistake is answered in one line on standard error, with exit status 2; a run that was interrupted exits with 130, one
that became NaN with 1.
"""

from __future__ import annotations

import errno
import os
import re
import sys

from pydantic import ValidationError

from mulligan import __version__
from mulligan.cli.verbs import VERBS, overview
from mulligan.config import nearest
from mulligan.errors import Mistake

PIPE = 128 + 13  # as the shell says it of who was ended by SIGPIPE


def main(words: list[str] | None = None) -> None:
    """The console script."""
    # waiting OpenMP threads spin by default: on shared cores a 2 ms step took 175 ms. Before torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    sys.exit(run(sys.argv[1:] if words is None else words))


def run(words: list[str]) -> int:
    """Run a command line; its exit status."""
    try:
        try:
            return _status(words)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE


def _status(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if words[0] == "--version":
        print(__version__)
        return 0
    try:
        if words[0] not in VERBS:
            raise Mistake(f"mulligan: there is no verb {words[0]!r}{nearest(words[0], VERBS)}")
        return VERBS[words[0]].play(words[1:])
    except (Mistake, ValidationError) as error:
        print(_mistake(error), file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        print(
            f"mulligan: {error.filename or 'the system'}: {error.strerror}; {_disk_advice(error)}",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("mulligan: stopped", file=sys.stderr)
        return 130
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not re.search("out of memory|can't allocate memory", str(error)):
            raise
        advice = "lower --batch, --size or a width, or raise --micro-batches"
        print(f"mulligan: the memory does not suffice; {advice}", file=sys.stderr)
        return 2


def _mistake(error: ValueError) -> str:
    from mulligan.options import explain

    text = explain(error) if isinstance(error, ValidationError) else str(error)
    return text if text.startswith("mulligan") else f"mulligan: {text}"


def _disk_advice(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        return "free some space and go on with --resume; what was saved before is whole"
    return "check the path and its permissions"
