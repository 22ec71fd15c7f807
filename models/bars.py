"""Progress of fetching and converting, drawn for people. It does not know what is fetched."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from models.watch import Step

WIDTH = 28


class Bars:
    """A `Watch` with one bar per piece of work."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(12), TextColumn("{task.fields[amount]}"))
        self._progress = Progress(*columns, console=console)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, step: Step) -> None:
        task = self._tasks.get(step.what)
        if task is None:
            task = self._progress.add_task(short(step.what), total=step.total, amount="")
            self._tasks[step.what] = task
        self._progress.update(task, completed=step.done, total=step.total, amount=amount(step))

    def note(self, text: str) -> None:
        self._progress.console.print(text, style="yellow", markup=False, highlight=False)


def short(name: str) -> str:
    """A line has to fit in 80 columns with the longest amount on it."""
    return name if len(name) <= WIDTH else f"{name[: WIDTH // 2]}…{name[1 - WIDTH // 2 :]}"


def amount(step: Step) -> str:
    if step.unit == "bytes":
        counted = f"{decimal(step.done)} of {decimal(step.total)}"
    else:
        counted = f"{step.done} of {step.total}"
    return f"{counted}, {step.detail}" if step.detail else counted
