"""Command lines are read to the letter, and what is wrong with one is said in a line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import ashttpd.cli
import mkroot.cli
from ashttpd.commandline import USAGE, Parser

PARSERS = {"ashttpd": ashttpd.cli.make_parser(), "mkroot": mkroot.cli.make_parser()}
OPTIONS = [
    (program, option)
    for program, parser in PARSERS.items()
    for option in parser._option_string_actions
    if option.startswith("--")
]


def refused(parser: Parser, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that a wrong command line gets."""
    with pytest.raises(SystemExit) as ended:
        parser.parse_intermixed_args(arguments)
    assert ended.value.code == USAGE
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith(f"{parser.prog}: ")
    return said


@pytest.mark.parametrize(("program", "option"), OPTIONS)
def test_no_option_can_be_abbreviated(
    program: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = PARSERS[program]
    for length in range(3, len(option)):
        short = option[:length]
        if short not in parser._option_string_actions:
            said = refused(parser, [short, "1", "a", "b"], capsys)
            assert f"unrecognized arguments: {short}" in said
            assert option in said


@pytest.mark.parametrize(("program", "option"), OPTIONS)
def test_an_option_is_written_in_one_way_or_names_what_it_lacks(
    program: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = PARSERS[program]
    action = parser._option_string_actions[option]
    if action.nargs == 0:
        said = refused(parser, [f"{option}=value"], capsys)
        assert f"{option}: ignored explicit argument 'value'" in said
    else:
        said = refused(parser, ["a", option], capsys)
        assert f"argument {option}: expected one argument" in said


@pytest.mark.parametrize(
    ("written", "meant"),
    [("--dotfile", "--dotfiles"), ("--symlink=skip", "--symlinks"), ("--indx", "--index")],
)
def test_an_unknown_option_is_told_with_the_nearest_one(
    written: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(PARSERS["mkroot"], [written, "a", "b"], capsys)
    assert f"(did you mean {meant}?)" in said


def test_an_unknown_option_is_not_told_with_the_operands_behind_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = refused(PARSERS["ashttpd"], ["--thr", "2", "../vhosts"], capsys)
    assert said.startswith("ashttpd: unrecognized arguments: --thr (did you mean --threads?);")
    said = refused(PARSERS["ashttpd"], ["a", "b"], capsys)
    assert said.startswith("ashttpd: unrecognized arguments: b;")


@pytest.mark.parametrize("arguments", [[""], ["--access-log", "", "a"]])
def test_an_empty_path_is_not_taken_for_the_working_directory(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "is empty; is a variable not set?" in refused(PARSERS["ashttpd"], arguments, capsys)


def test_a_value_with_line_ends_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(PARSERS["mkroot"], ["--x\ny\x1b[2J", "a", "b"], capsys)
    assert "--x\\ny\\x1b[2J" in said


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("option", ["--help", "--version"])
@pytest.mark.parametrize("program", PARSERS)
def test_help_that_cannot_be_printed_is_status_1_with_the_reason(
    program: str, option: str, unbuffered: str
) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", program, option],
            env=dict(os.environ, PYTHONUNBUFFERED=unbuffered),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    said = f"{program}: No space left on device\n".encode()
    assert (done.returncode, done.stderr) == (1, said)


def test_help_for_a_reader_that_had_enough_is_no_failure() -> None:
    for program in PARSERS:
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-m", program, "--help"],
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, b"")


def test_every_program_of_the_project_reads_its_command_line_in_this_way() -> None:
    project = Path(__file__).parent.parent
    for package in ("ashttpd", "bench", "fuzz", "mkroot", "packaging"):
        for module in (project / package).rglob("*"):
            if module.is_file() and module.suffix in (".py", ""):
                uses = "argparse.ArgumentParser(" in module.read_text()
                assert not uses or module.name == "commandline.py", module
