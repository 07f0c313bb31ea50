"""How the demo is told."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table


class Narrator:
    """Tells the story on standard error; standard output is for `--json`."""

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)

    def chapter(self, title: str) -> None:
        """A new chapter."""
        self.console.print(f"\n[bold cyan]{title}[/bold cyan]")

    def say(self, line: str) -> None:
        """One fact."""
        self.console.print(f"  {line}")

    def table(self, columns: list[str], rows: list[list[Any]]) -> None:
        """Figures."""
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        for column in columns:
            table.add_column(
                column, justify="left" if column in ("", "line", "account", "hour", "day") else "right"
            )
        for row in rows:
            table.add_row(*[str(cell) for cell in row])
        self.console.print(table)

    def verdict(self, differences: list[str], *, seconds: float) -> None:
        """The end."""
        if not differences:
            self.console.print(f"\n[bold green]Every figure agrees.[/bold green] {seconds:.0f} s.")
            return
        self.console.print(f"\n[bold red]{len(differences)} differences:[/bold red]")
        for difference in differences:
            self.say(f"[red]{difference}[/red]")


def money(minor: int) -> str:
    """Minor units of a currency with two decimals."""
    sign, minor = ("-", -minor) if minor < 0 else ("", minor)
    return f"{sign}{minor // 100}.{minor % 100:02d}"
