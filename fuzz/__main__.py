"""`python -m fuzz --seconds N`: all properties in turn, with new seeds, until the time is over."""

import argparse
import importlib
import pkgutil
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from hypothesis import settings

import fuzz
import fuzz.profiles
from fuzz.shared import put_away


def load_properties(ran: Counter[str]) -> dict[str, Callable[[], None]]:
    """Return every property of the package by its name; `ran` counts the examples of each."""
    properties = {}
    for module_info in pkgutil.iter_modules(fuzz.__path__):
        if not module_info.name.startswith("test_"):
            continue
        module = importlib.import_module(f"fuzz.{module_info.name}")
        for name, function in vars(module).items():
            if name.startswith("test_") and hasattr(function, "hypothesis"):
                _count(function, name, ran)
                properties[name] = function
    return properties


def _count(function: Any, name: str, ran: Counter[str]) -> None:
    inner = function.hypothesis.inner_test

    def counted(*args: object, **kwargs: object) -> None:
        ran[name] += 1
        inner(*args, **kwargs)

    function.hypothesis.inner_test = counted


def main() -> int:
    """Run; returns 1 with the failing example printed where a property does not hold."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long, in all")
    stop = time.monotonic() + parser.parse_args().seconds
    settings.load_profile("turn")
    ran: Counter[str] = Counter()
    properties = load_properties(ran)
    failed = False
    while not failed and time.monotonic() < stop:
        for name, check in properties.items():
            try:
                check()
            except Exception:  # whatever a property finds is what we came for
                print(f"\n{name} does not hold:", file=sys.stderr)
                traceback.print_exc()
                failed = True
            if failed or time.monotonic() >= stop:
                break
    put_away()
    for name in properties:
        print(f"{ran[name]:9,}  {name}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
