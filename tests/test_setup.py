"""setup.py: for what a build is refused as a whole."""

import runpy
from pathlib import Path

import pytest

SETUP = Path(__file__).parent.parent / "setup.py"


@pytest.mark.parametrize("bits", [32, 128])
def test_a_python_that_is_not_of_64_bits_is_refused_in_words(bits: int) -> None:
    refuse = runpy.run_path(str(SETUP))["refuse_narrow"]
    with pytest.raises(SystemExit, match=f"this Python is of {bits} bits, and .* one of 64"):
        refuse(bits)


def test_a_python_of_64_bits_is_taken() -> None:
    runpy.run_path(str(SETUP))["refuse_narrow"](64)


def test_each_builder_of_an_extension_that_is_named_exists() -> None:
    for builder in runpy.run_path(str(SETUP))["BUILDERS"]:
        assert (SETUP.parent / builder.partition(":")[0]).is_file()
