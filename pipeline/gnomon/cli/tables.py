"""Tables: drawn on a terminal, plain aligned columns everywhere else."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Final

import click

from gnomon.cli.text import cell

__all__ = ["print_table", "progress_bar"]

MEASURED: Final = 1000
"""Rows that decide how wide the columns are; a longer result is written as it comes, in bounded memory."""
WIDEST: Final = 60
"""Characters of a cell that a plain column makes room for; longer ones push the rest of their line."""


NARROWEST: Final = (16, 12, 8)
"""Characters that a column of words on a terminal is not folded below; the first with which all fit."""

_FIGURES: Final = re.compile(r"[-+\d.,:%eT Z]*( to [-+\d.,%e ]+)?")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> None:
    """Print rows under their column names; numbers stand on the right.

    On a terminal the table has lines and colours, as long as it has no more than `MEASURED` rows; one with too many
    columns for its width is written row by row.
    """
    stream = iter(rows)
    first = list(islice(stream, MEASURED))
    texts = [[cell(value) for value in row] for row in first]
    right = [_all_numbers(row[i] for row in first) for i in range(len(columns))]
    following = next(stream, None)
    if sys.stdout.isatty() and following is None:
        _draw(columns, texts, right, title)
        return
    if title:
        click.echo(title)
    rest = chain([] if following is None else [following], stream)
    for line in _align(columns, chain(texts, ([cell(value) for value in row] for row in rest)), texts, right):
        click.echo(line)


def _all_numbers(values: Iterable[object]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in present)


def _align(
    columns: Sequence[str], rows: Iterable[list[str]], measured: list[list[str]], right: list[bool]
) -> Iterator[str]:
    widths = [max(len(name), *(min(len(row[i]), WIDEST) for row in measured), 0) for i, name in enumerate(columns)]
    for row in chain([[*columns]], rows):
        cells = (
            text.rjust(width) if on_right else text.ljust(width)
            for text, width, on_right in zip(row, widths, right, strict=True)
        )
        yield "  ".join(cells).rstrip()


def _draw(columns: Sequence[str], rows: list[list[str]], right: list[bool], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = _fit(columns, rows, right, console.width - 2 * len(columns) + 1)
    if widths is None:
        if title:
            console.print(Text(title, style="bold"))
        for line in _records(columns, rows):
            console.print(Text(line), soft_wrap=True)
        return
    table = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, title_style="bold", show_edge=False)
    table.padding = (0, 1, 0, 0)
    for name, on_right, width in zip(columns, right, widths, strict=True):
        table.add_column(Text(name), justify="right" if on_right else "left", overflow="fold", width=width)
    for row in rows:
        table.add_row(*(Text(text) for text in row))
    console.print(table)


def _fit(columns: Sequence[str], rows: list[list[str]], right: list[bool], room: int) -> list[int] | None:
    """Give widths with which a table fits: words are folded, figures never. None where that cannot be."""
    widths = [max(len(name), *(len(row[at]) for row in rows), 0) for at, name in enumerate(columns)]
    whole = [on_right or all(_FIGURES.fullmatch(row[at]) for row in rows) for at, on_right in enumerate(right)]
    for narrowest in NARROWEST:
        least = [width if kept else min(width, narrowest) for width, kept in zip(widths, whole, strict=True)]
        if sum(least) <= room:
            break
    else:
        return None
    while sum(widths) > room:
        widest = max((at for at in range(len(widths)) if widths[at] > least[at]), key=lambda at: widths[at])
        widths[widest] -= 1
    return widths


def _records(columns: Sequence[str], rows: list[list[str]]) -> Iterator[str]:
    """Write each row as lines of name and value."""
    widest = max(map(len, columns))
    for number, row in enumerate(rows, 1):
        yield f"-- row {number} of {len(rows)}"
        for name, text in zip(columns, row, strict=True):
            yield f"{name.ljust(widest)}  {text}"


@contextmanager
def progress_bar(title: str, total: int | None) -> Iterator[Callable[[int], None] | None]:
    """Give what takes the bytes done since its last call, and show them on stderr; None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(title, total=total)

        def advance(done: int) -> None:
            bar.advance(task, done)

        yield advance
