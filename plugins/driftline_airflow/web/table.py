"""A plain page with a table, without scripts, light and dark as the reader's system is. Every value is escaped."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape
from typing import Any

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid var(--line); }
th, td { vertical-align: top; white-space: nowrap; } .scroll { overflow-x: auto; }
td.long { white-space: normal; overflow-wrap: anywhere; min-width: 12rem; } h1 { overflow-wrap: anywhere; }
th { background: var(--soft); } .n { text-align: right; font-variant-numeric: tabular-nums; }
.critical { color: light-dark(#b00020, #ff6b7a); font-weight: 600; }
.major { color: light-dark(#a84300, #ff9a57); font-weight: 600; }
.minor { color: light-dark(#7a5c00, #f0cf4c); } .warning { color: light-dark(#2c62a8, #85b6f2); }
@media (max-width: 40rem) { body { margin: 1rem 0; } td, th { padding: .3rem; } }
"""
# nothing is loaded from anywhere; our own inline style is all that runs
CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
LARGE, HUGE = 1e5, 1e15  # between them a number is shown to its last digit: six of them would round counts
COLUMNS = ("Score", "Bucket", "Detector", "Partition", "Actual", "Typical", "What")


def page(title: str, body: str) -> str:
    """A whole page; `body` is HTML already."""
    name = escape(title)
    head = f'<meta charset="utf-8"><title>{name}</title><meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{name}</h1>{body}</body></html>'


def records_page(job_id: str, interval: str, records: list[dict[str, Any]]) -> str:
    """The top records of an interval, the worst first."""
    title = f"Results of {job_id}"
    lead = f"<p>{escape(interval)}</p>"
    if not records:
        return page(title, f"{lead}<p>Nothing unusual was found.</p>")
    head = "".join(f"<th>{column}</th>" for column in COLUMNS)
    rows = "".join(_row(record) for record in records)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return page(title, f'{lead}<div class="scroll">{table}</div>')


def _row(record: dict[str, Any]) -> str:
    from driftline.scoring.score import severity

    score = float(record.get("record_score") or 0)
    kind = severity(score)
    when = datetime.fromtimestamp(record["timestamp"] / 1000, UTC)
    values = [record.get(f"{split}_field_value") for split in ("partition", "by", "over")]
    what = (record.get("driftline") or {}).get("sentence", "")
    cells = [
        (f"{score:.0f} {kind}", kind),
        (f"{when:%Y-%m-%d %H:%M:%S}", ""),
        (f"{record.get('function', '')} {record.get('field_name') or ''}", ""),
        (" · ".join(str(value) for value in values if value is not None), "long"),
        (_number(record.get("actual")), "n"),
        (_number(record.get("typical")), "n"),
        (str(what), "long"),
    ]
    return "<tr>" + "".join(f'<td class="{style}">{escape(text)}</td>' for text, style in cells) + "</tr>"


def _number(value: Any) -> str:  # noqa: ANN401 - a number or Elastic's list of one
    first = value[0] if isinstance(value, list) and value else value
    if not isinstance(first, int | float):
        return ""
    return f"{first:,.0f}" if LARGE <= abs(first) < HUGE else f"{first:,.6g}"
