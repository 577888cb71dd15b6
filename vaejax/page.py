"""A self-contained HTML page of headings, paragraphs, tables and figures, shown on the terminal as it grows."""

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["Page"]

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto; }
td, th { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums; }
td:first-child, th:first-child { text-align: left; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; } figcaption { color: #555; font-size: .9rem; }
.row { display: flex; flex-wrap: wrap; gap: 1rem; } .row figure { flex: 1 1 18rem; margin: 0; }
"""


class Page:
    """Collects headings, paragraphs, tables and figures; shows the text on the terminal as it comes.

    Args:
      title: of the page.
      quiet: write to the page alone.
    """

    def __init__(self, title: str, *, quiet: bool = False):
        from rich.console import Console

        self.title = title
        self.console = Console(quiet=quiet)
        self.parts = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """A section."""
        self.console.rule(text)
        self.parts.append(f"<h2>{html.escape(text)}</h2>")

    def paragraph(self, text: str) -> None:
        """A paragraph of plain text."""
        self.console.print(text)
        self.parts.append(f"<p>{html.escape(text)}</p>")

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; the first column is text, the others are numbers."""
        from rich.table import Table

        table = Table()
        for i, column in enumerate(columns):
            table.add_column(column, justify="right" if i else "left")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
        cells = lambda row, tag: "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)  # noqa: E731
        body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
        self.parts.append(f"<table><thead><tr>{cells(columns, 'th')}</tr></thead><tbody>{body}</tbody></table>")

    def figures(self, figures: dict[str, Any]) -> None:
        """Figures of matplotlib side by side, each under its caption."""
        items = []
        for caption, figure in figures.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=110)
            data = base64.b64encode(buffer.getvalue()).decode()
            text = html.escape(caption)
            image = f'<img alt="{text}" src="data:image/png;base64,{data}">'
            items.append(f"<figure>{image}<figcaption>{text}</figcaption></figure>")
        self.parts.append(f'<div class="row">{"".join(items)}</div>')

    def write(self, path: Path) -> None:
        """Write the page to one file, pictures included."""
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        head = f"{meta}<title>{html.escape(self.title)}</title><style>{STYLE}</style>"
        body = "".join(self.parts)
        temporary = path.with_name(f".{path.name}.part")
        temporary.write_text(f"<!doctype html><html lang=en><head>{head}</head><body>{body}</body></html>\n", "utf-8")
        temporary.replace(path)
