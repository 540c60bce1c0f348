"""What properties share and is dear to make: made when first asked for, put away at the end."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from functools import cache
from typing import Final, TypeVar

Made = TypeVar("Made")

_STACK: Final = ExitStack()


def shared(make: Callable[[], AbstractContextManager[Made]]) -> Callable[[], Made]:
    """Return a function that enters the context once and gives what it gave, every time."""
    return cache(lambda: _STACK.enter_context(make()))


def put_away() -> None:
    """Leave all contexts, the last first; whoever runs properties calls this once, at the end."""
    _STACK.close()
