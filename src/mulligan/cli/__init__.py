"""The command line: one function a verb. Torch is imported by the verbs that need it, so --help is quick."""

from mulligan.cli.entry import main, run
from mulligan.cli.verbs import VERBS

__all__ = ["VERBS", "main", "run"]
