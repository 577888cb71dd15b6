"""Words and tables on the terminal; of several processes the first one speaks for all."""

from collections.abc import Iterable, Sequence

import jax

__all__ = ["is_first", "say", "show_table"]


def is_first() -> bool:
    """Whether this is the first of several processes, which speaks and writes for all."""
    return jax.process_index() == 0


def say(text: str, notes: Iterable[str] = ()) -> None:
    """Print a line, and notes below it."""
    if is_first():
        from rich.console import Console

        console = Console(soft_wrap=True, highlight=False, markup=False)
        for line in (text, *(f"  {note}" for note in notes)):
            console.print(line)


def show_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(highlight=False, markup=False).print(table)
