"""`python -m fuzz --seconds N`: all properties in turn, with new seeds, until the time is over."""

import importlib
import logging
import pkgutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

import fuzz
import fuzz.profiles
from ashttpd.commandline import Parser
from fuzz.shared import put_away


def load_properties(ran: Counter[str]) -> dict[str, Callable[[], None]]:
    """Return every property of the package by its name; `ran` counts the examples of each."""
    properties = {}
    for module_info in pkgutil.iter_modules(fuzz.__path__):
        if not module_info.name.startswith("test_"):
            continue
        module = importlib.import_module(f"fuzz.{module_info.name}")
        for name, value in vars(module).items():
            if name.startswith("test_") and hasattr(value, "hypothesis"):
                value.hypothesis.inner_test = _counted(value.hypothesis.inner_test, name, ran)
                properties[name] = value
            elif _is_machine(value) and value.__module__ == module.__name__:
                value.__init__ = _counted(value.__init__, name, ran)
                properties[name] = partial(run_state_machine_as_test, value)
    return properties


def _is_machine(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, RuleBasedStateMachine)


def _counted(inner: Callable[..., None], name: str, ran: Counter[str]) -> Callable[..., None]:
    def counted(*args: object, **kwargs: object) -> None:
        ran[name] += 1
        inner(*args, **kwargs)

    return counted


def main() -> int:
    """Run; returns 1 with the failing example printed where a property does not hold."""
    parser = Parser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long, in all")
    stop = time.monotonic() + parser.parse_args().seconds
    settings.load_profile("turn")
    # What the server says of the damage that we do to it is right, and no news.
    logging.disable()
    ran: Counter[str] = Counter()
    properties = load_properties(ran)
    try:
        holds = run(properties, stop)
    finally:
        for name in properties:
            print(f"{ran[name]:9,}  {name}")
        put_away()
    return int(not holds)


def run(properties: dict[str, Callable[[], None]], stop: float) -> bool:
    """Give all properties the same time until `stop` (monotonic); returns whether all held."""
    spent = dict.fromkeys(properties, 0.0)
    while time.monotonic() < stop:
        # The next turn is for who has had the least.
        name = min(spent, key=lambda name: spent[name])
        start = time.monotonic()
        try:
            properties[name]()
        # Whatever a property finds is what we came for.
        except (Exception, pytest.fail.Exception):
            print(f"\n{name} does not hold:", file=sys.stderr)
            traceback.print_exc()
            return False
        spent[name] += time.monotonic() - start
    return True


if __name__ == "__main__":
    sys.exit(main())
