"""Draws what `benchmarks/fleet.py` measured."""

from collections.abc import Callable
from pathlib import Path
from typing import Any


def draw_timeline(result: dict[str, Any], num_workers: int, path: Path) -> None:
    """Queued jobs of both runs over time, the ready workers, and a line at each fault."""
    width, height, left = 900, 260, 50
    rows = {name: result[name]["timeline"] for name in ("quiet", "faults")}
    end = max(row["at_s"] for found in rows.values() for row in found)
    most = max(max(row["queued"] + row["running"] for row in found) for found in rows.values()) or 1

    def line(found: list[dict[str, Any]], value: Callable[[dict[str, Any]], float], colour: str) -> str:
        points = " ".join(f"{left + width * row['at_s'] / end:.1f},{height - 200 * value(row):.1f}" for row in found)
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'

    def is_open(row: dict[str, Any]) -> float:
        return (row["queued"] + row["running"]) / most

    marks = []
    for place, one in enumerate(result["faults"]["came"]):
        x, y = left + width * one["at_s"] / end, height + 16 + 14 * (place % 4)
        marks.append(f'<path d="M{x:.1f} 40V{height}" stroke="#ccc"/><text x="{x:.1f}" y="{y}">{one["fault"]}</text>')
    lines = [
        line(rows["quiet"], is_open, "#5a9e6f"),
        line(rows["faults"], is_open, "#3b6fb6"),
        line(rows["faults"], lambda row: row["workers"] / num_workers, "#e0912f"),
    ]
    texts = [("#5a9e6f", "open jobs, quiet"), ("#3b6fb6", f"open jobs under faults (top: {most})")]
    texts += [("#e0912f", f"ready workers (top: {num_workers})"), ("#333", f"{end:.0f} s")]
    parts = "; ".join(f'<tspan fill="{colour}">{text}</tspan>' for colour, text in texts)
    legend = f'<text x="{left}" y="20">{parts}</text>'
    body = "\n".join([legend, *marks, *lines, f'<path d="M{left} {height}h{width}" stroke="#333"/>'])
    style = "font-family:sans-serif;font-size:11px;background:#fff"
    text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 120} {height + 80}" style="{style}">'
    path.write_text(f"{text}\n{body}\n</svg>\n")
