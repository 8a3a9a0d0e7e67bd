"""A progress bar on the standard error, where that is a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from producer.cli.output import printable


class Bar:
    """How far a file has been read, and how many of its events are enqueued."""

    def __init__(self, progress: Progress, total: int | None, description: str = "enqueuing") -> None:
        self._progress = progress
        self._description = description
        self._task = progress.add_task(description, total=total, events=0)
        self.events = 0

    def read(self, count: int) -> None:
        """Advance by a number of bytes, or of whatever the total counts."""
        self._progress.advance(self._task, count)

    @property
    def is_shown(self) -> bool:
        """Whether anybody sees it."""
        return not self._progress.disable

    def reached(self, done: int, total: int | None) -> None:
        """Show how far it is, of a total if that is known by now."""
        self._progress.update(self._task, completed=done, total=total)

    def doing(self, description: str, done: int, total: int | None) -> None:
        """Show what is being done, and how far that is, of a total if that is known."""
        self._progress.update(self._task, description=description, completed=done, total=total, events=None)

    def enqueued(self, events: int) -> None:
        """Show the number of events that are enqueued."""
        self.events = events
        self._progress.update(self._task, description=self._description, events=events)

    def waiting(self, outstanding: int) -> None:
        """Show that it waits for a backlog of so many events."""
        self._progress.update(self._task, description=f"waiting: {outstanding:,} outstanding")

    def note(self, line: str) -> None:
        """Print a line above the bar."""
        self._progress.console.print(Text(printable(line)), soft_wrap=True)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.fields["events"] is None:
            return Text(f"{task.completed:,.0f}" if task.total is None else f"{task.percentage:.0f} %")
        rate = task.fields["events"] / task.elapsed if task.elapsed else 0.0
        return Text(f"{task.fields['events']:,} events, {rate:,.0f}/s")


@contextmanager
def show_progress(total: int | None, description: str = "enqueuing") -> Iterator[Bar]:
    """Show a bar; without a total, as for a pipe, one that only moves."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Bar(progress, total, description)
