"""Values as people read them: a time, a duration, a path, a table of names and values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any


def time_of(stamp: str) -> str:
    """2026-01-31T12:05:00+00:00 as 2026-01-31 12:05 UTC."""
    day, _, clock = stamp.partition("T")
    return f"{day} {clock[:5]}{' UTC' if clock.endswith(('+00:00', 'Z')) else ''}".strip()


def duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 100 else f"{minutes} min {rest} s"


def last_part(place: str) -> str:
    """The last part of a path: the whole of it would tell strangers how this machine's folders are named."""
    return Path(place).name or place


def table(rows: Mapping[str, Any]) -> str:
    """Names and values as HTML; what is not a plain value is shown as JSON."""
    body = "".join(
        f"<tr><th scope=row>{escape(str(k).replace('_', ' '))}</th><td>{escape(_plain(v))}</td></tr>"
        for k, v in rows.items()
    )
    return f"<table class=plain>{body}</table>"


def _plain(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return json.dumps(value, ensure_ascii=False)
