"""A run directory as one self-contained HTML page: no script, no request to anywhere, light and dark."""

from mulligan.report.page import write_report

__all__ = ["write_report"]
