"""Python source that grows by lines, and becomes a function."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from sluice_schemas import primitives
from sluice_schemas.errors import WireError

MAX_LINES = 20_000
MAX_DEPTH = 18
"""What a schema from elsewhere may cost to compile; Python itself nests 20 loops."""


class Code:
    """The lines, how far they are indented, and the names they may use."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0
        self.numbers = count()
        self.names: dict[str, Any] = dict(vars(primitives)) | {"FLAGS": (False, True)}

    def line(self, text: str) -> None:
        """Add a line at the present depth; WireError `unresolvable_schema` beyond the bounds."""
        if len(self.lines) >= MAX_LINES or self.depth > MAX_DEPTH:
            raise WireError("unresolvable_schema", "nested too deep or too large")
        self.lines.append("    " * self.depth + text)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Indent what is added inside under this line."""
        self.line(head)
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def name(self, value: Any = None) -> str:
        """Return a fresh name; with a value, one that means it."""
        name = f"x{next(self.numbers)}"
        if value is not None:
            self.names[name] = value
        return name

    def function(self, name: str) -> Any:
        """Return what the source defines under this name."""
        # Of a schema only the field names of our own classes and numbers enter the source.
        exec(compile("\n".join(self.lines), "<codec>", "exec"), self.names)  # noqa: S102
        return self.names[name]
