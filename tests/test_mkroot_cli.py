"""The builder as people run it: a process, its words, its exit status, and never a traceback."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ashttpd import __version__
from mkroot.build import MAX_WARNINGS
from mkroot.cli import main, make_parser
from tests.trees import ROOT, Tree, files_of, harvest, make, plain_environment, plant, python
from tests.webroots import leftovers, opened, take_apart

TREE: Tree = {
    b"a b.txt": b"text with a space",
    b"docs": {b"index.html": b"<p>docs", b"empty": b""},
    b"\xff%": b"\0binary",
    b"same.txt": b"text with a space",
    b"void": {},
}


def mkroot(
    *arguments: str | bytes | Path, environment: dict[str, str] | None = None
) -> tuple[int, str, str]:
    """Run the program; returns its exit status and what it wrote."""
    done = python("-m", "mkroot", *arguments, environment=environment)
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def mkroot_here(
    capfdbinary: pytest.CaptureFixture[bytes], *arguments: str | Path
) -> tuple[int, str, str]:
    """The same without a process, for what needs many."""
    try:
        status = main([os.fspath(argument) for argument in arguments])
    except SystemExit as leaving:
        status = int(str(leaving.code))
    said, complaints = capfdbinary.readouterr()
    return status, said.decode(), complaints.decode()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plant(tmp_path_factory.mktemp("cli") / "source", TREE)


@pytest.fixture(scope="module")
def webroot(source: Path) -> Path:
    """A webroot that no test may change."""
    make(source, source.parent / "site.webroot")
    return source.parent / "site.webroot"


@pytest.fixture
def damaged(webroot: Path, tmp_path: Path) -> Path:
    """A copy with a flipped bit in the body of /docs/index.html, which is that of /docs/ too."""
    content = bytearray(webroot.read_bytes())
    content[content.index(b"<p>docs")] ^= 1
    (tmp_path / "damaged.webroot").write_bytes(content)
    return tmp_path / "damaged.webroot"


# Building.


def test_a_build_says_in_one_line_what_it_made(source: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    status, said, complaints = mkroot(source, output)
    assert (status, complaints) == (0, "")
    with opened(output) as webroot:
        site = webroot.site_id
    assert re.fullmatch(
        re.escape(f"{output}: 10 URLs of 5 files, 48 B, 17 B saved by dedup, ")
        + rf"\d+\.\d s, site id {site[:12]}\n",
        said,
    )


def test_a_quiet_build_says_nothing_even_of_what_it_leaves_out(
    tmp_path: Path,
) -> None:
    plant(tmp_path / "source", {})
    os.mkfifo(tmp_path / "source" / "fifo")
    assert mkroot("--quiet", tmp_path / "source", tmp_path / "out") == (0, "", "")
    status, _said, complaints = mkroot(tmp_path / "source", tmp_path / "out")
    assert (status, complaints) == (0, "mkroot: fifo: left out, no regular file\n")


def test_options_may_stand_anywhere(source: Path, tmp_path: Path) -> None:
    for arguments in (
        ("--listing", source, tmp_path / "out"),
        (source, "--listing", tmp_path / "out"),
        (source, tmp_path / "out", "--listing"),
    ):
        assert mkroot("--quiet", *arguments)[0] == 0
        assert mkroot("--list", tmp_path / "out")[1].count("application/json\tidentity") == 2


def test_options_reach_the_build(tmp_path: Path) -> None:
    plant(tmp_path / "source", {b".hidden": b"", b"start": b"here", b"x.foo": b"1"})
    (tmp_path / "source" / "link").symlink_to("x.foo")
    status, _said, complaints = mkroot(
        *("--dotfiles", "--index", "no", "--index", "start", "--symlinks", "redirect"),
        *("--type", "*.foo=text/x-foo; charset=utf-8", tmp_path / "source", tmp_path / "out"),
    )
    assert (status, complaints) == (0, "")
    lines = mkroot("--list", tmp_path / "out")[1].splitlines()
    fields = {line.split("\t")[5]: line.split("\t") for line in lines}
    assert list(fields) == ["/", "/.hidden", "/link", "/start", "/x.foo"]
    assert fields["/"][2] == fields["/start"][2]
    assert fields["/link"][0::6] == ["302", "/x.foo"]
    assert fields["/x.foo"][3] == "text/x-foo; charset=utf-8"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("source", ""), "OUTPUT is empty"),
        (("", "out"), "SOURCE is empty"),
        (("--verify", "a", "b", ""), "FILE is empty"),
        (("--extract", "a", ""), "DIR is empty"),
        (("--listing-template", "", "a", "b"), "--listing-template: '' is empty"),
    ],
)
def test_an_operand_that_is_empty_is_named_and_not_taken_for_the_working_directory(
    arguments: tuple[str, ...], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(arguments)
    assert said in capfd.readouterr().err


def test_a_temporary_folder_that_cannot_be_used_is_named_with_the_one_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(tmp_path / "source", {})
    monkeypatch.setenv("SQLITE_TMPDIR", str(tmp_path / "missing"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    status, _said, complaints = mkroot(tmp_path / "source", tmp_path / "out")
    assert status == 0
    assert complaints == (
        f"mkroot: SQLITE_TMPDIR is {tmp_path}/missing, which is no folder that may be written; "
        f"temporary files are in {tmp_path}\n"
    )
    monkeypatch.delenv("SQLITE_TMPDIR")
    assert mkroot(tmp_path / "source", tmp_path / "out")[2] == ""


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("only-source",),
        ("a", "b", "c"),
        ("--verify",),
        ("--list",),
        ("--list", "a", "b"),
        ("--info",),
        ("--cat", "a"),
        ("--extract", "a"),
        ("--diff", "a"),
        ("--list", "--info", "a"),
        ("--nonsense", "a", "b"),
        ("--symlinks", "whatever", "a", "b"),
        ("--index", "", "a", "b"),
        ("--index", "d/index.html", "a", "b"),
        ("--type", "no-equals-sign", "a", "b"),
        ("--type", "=text/plain", "a", "b"),
        ("--type", "*=nonsense", "a", "b"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_is_status_2_with_one_line(
    arguments: tuple[str, ...], capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    status, said, complaints = mkroot_here(capfdbinary, *arguments)
    assert (status, said) == (2, "")
    assert complaints.startswith("mkroot: ")
    assert complaints.endswith("; mkroot --help shows all options\n")
    assert complaints.count("\n") == 1
    # The option with its value, or the operands that were given.
    for word in arguments[:2] if arguments else ("SOURCE OUTPUT",):
        for part in word.split("="):
            assert part in complaints or word in ("b", "--info")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("", "out"), "SOURCE"),
        (("source", ""), "OUTPUT"),
        (("--verify", "a", ""), "FILE"),
        (("--list", ""), "FILE"),
        (("--cat", "a", ""), "URL"),
        (("--extract", "a", ""), "DIR"),
        (("--diff", "", "a"), "OLD"),
        (("--listing-template", "", "a", "b"), "--listing-template"),
    ],
)
def test_an_empty_operand_is_refused_and_means_no_directory(
    arguments: tuple[str, ...], named: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    status, said, complaints = mkroot_here(capfdbinary, *arguments)
    assert (status, said) == (2, "")
    assert f"{named}" in complaints
    assert "is empty; is a variable not set?" in complaints
    assert complaints.count("\n") == 1


def test_what_stands_behind_two_dashes_is_an_operand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    plant(tmp_path, {b"-src": {b"x": b""}})
    monkeypatch.chdir(tmp_path)
    status, _said, complaints = mkroot_here(capfdbinary, "--quiet", "--", "-src", "./-out")
    assert (status, complaints) == (0, "")
    assert (tmp_path / "-out").exists()


@pytest.mark.parametrize(
    ("text", "glob", "media_type"),
    [
        ("*.foo=text/x-foo", "*.foo", "text/x-foo"),
        ("a=b*=text/x", "a=b*", "text/x"),
        ("?=*.txt=text/plain; charset=utf-8", "?=*.txt", "text/plain; charset=utf-8"),
        ("==text/x", "=", "text/x"),
        ("year=*/m=*/x.csv=text/csv;header=absent", "year=*/m=*/x.csv", "text/csv;header=absent"),
        ('*.foo=text/x; a="b=c/d"', "*.foo", 'text/x; a="b=c/d"'),
        ("a=b/c;d=e/f", "a=b/c;d", "e/f"),
    ],
)
def test_a_type_begins_behind_the_only_equals_sign_where_one_can(
    text: str, glob: str, media_type: str
) -> None:
    assert make_parser().parse_args(["--type", text]).type == [(glob, media_type)]


GLOBS = st.text(st.characters(codec="ascii", exclude_characters="\0"), min_size=1, max_size=12)
TYPES = st.sampled_from(
    (
        *("text/plain", "text/plain; charset=utf-8", "a/b;c=d;e=f", "x/y;", "a!#$/b+c.d"),
        *('a/b; c="=d/e"', 'a/b;c=";d=";e=";f="', r'a/b;c="\"=d/e;f=\""'),
    )
)


@given(glob=GLOBS | st.builds("{}={}".format, GLOBS, TYPES), media_type=TYPES)
def test_any_glob_and_type_are_told_apart(glob: str, media_type: str) -> None:
    assert make_parser().parse_args([f"--type={glob}={media_type}"]).type == [(glob, media_type)]


def test_help_and_version_are_for_standard_output() -> None:
    status, said, complaints = mkroot("--version")
    assert (status, said, complaints) == (0, f"mkroot {__version__}\n", "")
    status, said, complaints = mkroot("--help")
    assert (status, complaints) == (0, "")
    assert "\nexit status: 0" in said


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("{tmp}/nowhere", "{tmp}/out"), "nowhere: No such file or directory"),
        (("{tmp}/file", "{tmp}/out"), "file: Not a directory"),
        (("{tmp}/source", "{tmp}/missing/out"), "{tmp}/missing: No such file or directory"),
        (("{tmp}/source", "{tmp}/new/."), "{tmp}/new/.: a directory; name a file in it"),
        (("{tmp}/source", "{tmp}/source/.."), "{tmp}/source/..: a directory; name a file in it"),
        (("{tmp}/source", "{tmp}/source/out"), "it would become a part of itself"),
        (("{tmp}/source", "{tmp}/out", "--listing-template", "{tmp}/none"), "{tmp}/none: "),
        (("{tmp}/source", "{tmp}/out", "--listing-template", "{tmp}/file"), "{tmp}/file:1: "),
        (("--list", "{tmp}/nowhere"), "{tmp}/nowhere: No such file or directory"),
        (("--list", "{tmp}/file"), "{tmp}/file: not a webroot"),
        (("--info", "{tmp}/file"), "{tmp}/file: not a webroot"),
        (("--info", "{tmp}"), "{tmp}: not a regular file"),
        (("--cat", "{tmp}/file", "/"), "{tmp}/file: not a webroot"),
        (("--extract", "{tmp}/file", "{tmp}/out"), "{tmp}/file: not a webroot"),
        (("--diff", "{tmp}/file", "{tmp}/file"), "{tmp}/file: not a webroot"),
    ],
)
def test_what_fails_is_status_1_and_one_line_that_names_it(
    tmp_path: Path,
    arguments: tuple[str, ...],
    reason: str,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    plant(tmp_path, {b"source": {b"x": b""}, b"file": b"{% broken"})
    status, said, complaints = mkroot_here(
        capfdbinary, *(part.format(tmp=tmp_path) for part in arguments)
    )
    assert (status, said) == (1, "")
    assert complaints.startswith("mkroot: ")
    assert complaints.count("\n") == 1
    assert reason.format(tmp=tmp_path) in complaints
    assert sorted(os.listdir(tmp_path)) == ["file", "source"]


def test_only_the_first_warnings_are_told_and_the_others_counted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(MAX_WARNINGS + 5):
        os.mkfifo(source / f"fifo{number}")
    status, _said, complaints = mkroot(source, tmp_path / "out")
    lines = complaints.splitlines()
    assert status == 0
    assert len(lines) == MAX_WARNINGS + 1
    assert "fifo" in lines[0]
    assert lines[-1] == "mkroot: and 5 more warnings"


@pytest.mark.parametrize("value", ["yesterday", "-1", "1.5", "1" * 5000, "٣"])
def test_a_source_date_that_is_no_number_is_refused(
    source: Path, tmp_path: Path, value: str
) -> None:
    environment = {"SOURCE_DATE_EPOCH": value}
    status, said, complaints = mkroot(source, tmp_path / "out", environment=environment)
    assert (status, said) == (1, "")
    assert complaints.startswith("mkroot: SOURCE_DATE_EPOCH ")
    assert len(complaints) < 200
    assert not (tmp_path / "out").exists()


def test_an_output_whose_name_is_no_text_is_written_and_told(source: Path, tmp_path: Path) -> None:
    output = os.fsencode(tmp_path) + b"/\xff\xfe"
    # As it is wherever the locale is not C.
    environment = {"PYTHONIOENCODING": "utf-8:strict"}
    status, said, complaints = mkroot(source, output, environment=environment)
    assert (status, complaints) == (0, "")
    assert "10 URLs of 5 files" in said
    assert mkroot("--verify", output, environment=environment)[0] == 0


def test_a_build_on_a_terminal_shows_its_progress_and_clears_it_away(
    source: Path, tmp_path: Path
) -> None:
    status, shown, said = on_a_terminal(source, tmp_path / "out")
    assert status == 0
    assert b"URLs" in shown
    assert b"\x1b[2K" in shown, "the line is cleared"
    assert shown.rstrip().endswith((b"\x1b[?25h", b"\x1b[2K")), "the cursor is shown again"
    assert said.startswith(f"{tmp_path / 'out'}: 10 URLs".encode())


def test_a_quiet_build_on_a_terminal_shows_nothing(source: Path, tmp_path: Path) -> None:
    assert on_a_terminal("--quiet", source, tmp_path / "out") == (0, b"", b"")


def on_a_terminal(*arguments: str | Path) -> tuple[int, bytes, bytes]:
    """Run the program with a terminal for its complaints; returns status, those, and its words."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [sys.executable, "-m", "mkroot", *arguments],
            cwd=ROOT,
            env=plain_environment() | {"TERM": "xterm"},
            stdout=subprocess.PIPE,
            stderr=theirs,
        ) as process:
            os.close(theirs)
            shown = bytearray()
            try:
                while chunk := os.read(ours, 4096):
                    shown += chunk
            except OSError:
                pass  # Linux says EIO when the last one at the other end has gone.
            assert process.stdout is not None
            said = process.stdout.read()
        return process.returncode, bytes(shown), said
    finally:
        os.close(ours)


# Looking into webroots.


def test_verify_says_ok_with_the_site_id_and_nothing_when_quiet(webroot: Path) -> None:
    with opened(webroot) as site:
        expected = f"{webroot}: OK, site id {site.site_id}, 10 URLs\n"
    assert mkroot("--verify", webroot) == (0, expected, "")
    assert mkroot("--verify", "--quiet", webroot) == (0, "", "")


def test_verify_names_each_damaged_resource_and_goes_on_with_the_next_file(
    webroot: Path, damaged: Path
) -> None:
    status, said, complaints = mkroot("--verify", damaged, webroot, damaged.parent / "missing")
    lines = said.splitlines()
    assert (status, complaints) == (1, "")
    assert len(lines) == 4
    assert lines[0].startswith(f"{damaged}: damaged: /docs/ (text/html")
    assert lines[1].startswith(f"{damaged}: damaged: /docs/index.html (text/html")
    assert lines[2].startswith(f"{webroot}: OK, ")
    assert lines[3].startswith(f"{damaged.parent / 'missing'}: ")


def test_list_gives_a_line_of_tabbed_fields_per_url(webroot: Path) -> None:
    status, said, complaints = mkroot("--list", webroot)
    assert (status, complaints) == (0, "")
    rows = [line.split("\t") for line in said.splitlines()]
    assert [(row[0], row[1], row[5:]) for row in rows if row[0] == "200"] == [
        ("200", "17", ["/a%20b.txt"]),
        ("200", "7", ["/docs/"]),
        ("200", "0", ["/docs/empty"]),
        ("200", "7", ["/docs/index.html"]),
        ("200", "17", ["/same.txt"]),
        ("200", "7", ["/%FF%25"]),
    ]
    assert [row[5:] for row in rows if row[0] == "301"] == [
        ["/docs", "docs/"],
        ["/void", "void/"],
    ]
    assert [row[1:] for row in rows if row[0] == "404"] == [
        ["-", "-", "-", "-", "/"],
        ["-", "-", "-", "-", "/void/"],
    ]


def test_info_shows_the_site_and_how_it_was_built(webroot: Path) -> None:
    status, said, complaints = mkroot("--info", webroot)
    assert (status, complaints) == (0, "")
    shown = dict(re.split(r" {2,}", line, maxsplit=1) for line in said.splitlines())
    with opened(webroot) as site:
        assert shown["site id"] == site.site_id
    assert shown["URLs"] == "10"
    assert shown["size"] == f"{webroot.stat().st_size:,} bytes"
    assert shown["generator"] == f"mkroot {__version__}"


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/a%20b.txt", "text with a space"),
        ("/a b.txt", "text with a space"),
        ("/docs/", "<p>docs"),
        ("/docs/?query=/x", "<p>docs"),
        ("/docs/../%64ocs/./index.html?", "<p>docs"),
        ("/docs/empty", ""),
        ("/%ff%25", "\0binary"),
    ],
)
def test_cat_writes_the_body_of_a_url(
    webroot: Path, url: str, body: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert mkroot_here(capfdbinary, "--cat", webroot, url) == (0, body, "")


@pytest.mark.parametrize(
    "url", ["/none", "docs/", "/docs%2findex.html", "/%", "/%00", "/a+b.txt", "?"]
)
def test_cat_of_a_url_that_is_not_there_is_status_1(
    webroot: Path, url: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    status, said, complaints = mkroot_here(capfdbinary, "--cat", webroot, url)
    assert (status, said) == (1, "")
    assert complaints.startswith(f"mkroot: {url}: ")


def test_cat_of_a_url_that_is_an_error_is_status_1(
    webroot: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    complaint = "mkroot: /void/: answered with 404, and has no body\n"
    assert mkroot_here(capfdbinary, "--cat", webroot, "/void/") == (1, "", complaint)


def test_cat_of_a_damaged_body_is_status_1(damaged: Path) -> None:
    status, _said, complaints = mkroot("--cat", damaged, "/docs/")
    assert status == 1
    assert complaints.startswith(f"mkroot: {damaged}: /docs/: the body at ")


def test_extract_gives_the_tree_back(webroot: Path, tmp_path: Path) -> None:
    copy = tmp_path / "new" / "copy"
    assert mkroot("--extract", webroot, copy) == (0, f"{copy}: 5 files\n", "")
    assert harvest(os.fsencode(copy)) == TREE
    assert len(list(files_of(TREE))) == 5


def test_extract_of_nothing_into_an_empty_directory_is_quiet(webroot: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert mkroot("--quiet", "--extract", webroot, tmp_path / "empty") == (0, "", "")
    assert harvest(os.fsencode(tmp_path / "empty")) == TREE


def test_extract_into_a_directory_that_holds_anything_changes_nothing(
    webroot: Path, tmp_path: Path
) -> None:
    plant(tmp_path, {b"elsewhere": {}, b"full": {}})
    # A link by the name of a directory of the site would lead the files out.
    (tmp_path / "full" / "docs").symlink_to(tmp_path / "elsewhere")
    status, said, complaints = mkroot("--extract", webroot, tmp_path / "full")
    assert (status, said) == (1, "")
    assert complaints == f"mkroot: {tmp_path / 'full'}: not empty; nothing was extracted\n"
    assert os.listdir(tmp_path / "full") == ["docs"]
    assert os.listdir(tmp_path / "elsewhere") == []


def test_extract_of_a_hostile_file_writes_nothing_outside(webroot: Path, tmp_path: Path) -> None:
    draft = take_apart(webroot.read_bytes())
    draft.rename(b"/same.txt", b"/../x.txt")
    (tmp_path / "hostile").write_bytes(draft.packed())
    status, said, complaints = mkroot("--extract", tmp_path / "hostile", tmp_path / "in" / "dir")
    assert (status, said) == (1, "")
    assert complaints == f"mkroot: {tmp_path / 'hostile'}: /../x.txt: no path of a file\n"
    assert sorted(os.listdir(tmp_path)) == ["hostile", "in"]
    assert os.listdir(tmp_path / "in") == ["dir"]


def test_diff_of_equal_sites_is_status_0_and_empty(
    source: Path, webroot: Path, tmp_path: Path
) -> None:
    make(source, tmp_path / "again")
    assert mkroot("--diff", webroot, tmp_path / "again") == (0, "", "")


def test_diff_lists_what_was_removed_added_and_changed(webroot: Path, tmp_path: Path) -> None:
    tree: Tree = {
        b"a b.txt": b"text with a space",
        b"docs": {b"index.html": b"<p>other", b"empty": b""},
        b"same.html": b"",
        b"void": b"now a file",
        b"z": {},
    }
    make(plant(tmp_path / "source", tree), tmp_path / "new")
    status, said, complaints = mkroot("--diff", webroot, tmp_path / "new")
    assert (status, complaints) == (1, "")
    assert said.splitlines() == [
        "~ /docs/",
        "~ /docs/index.html",
        "+ /same.html",
        "- /same.txt",
        "~ /void",
        "- /void/",
        "+ /z",
        "+ /z/",
        "- /%FF%25",
    ]


@pytest.mark.parametrize("action", ["--list", "--info", "--verify", "--cat", "--diff", "--help"])
def test_a_reader_that_has_gone_is_no_error(webroot: Path, tmp_path: Path, action: str) -> None:
    make(plant(tmp_path / "source", {b"large": b"x" * 300_000}), tmp_path / "new")
    more = {"--cat": ("/docs/",), "--diff": (os.fspath(tmp_path / "new"),)}.get(action, ())
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "mkroot", action, webroot, *more],
        cwd=ROOT,
        env=plain_environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("action", ["--list", "--cat"])
def test_a_full_disk_under_standard_output_is_status_1(webroot: Path, action: str) -> None:
    more = ["/docs/"] if action == "--cat" else []
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mkroot", action, webroot, *more],
            cwd=ROOT,
            env=plain_environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == b"mkroot: No space left on device\n"


@pytest.mark.parametrize("action", ["--list", "--info", "--cat"])
def test_a_closed_standard_output_is_status_1(webroot: Path, action: str) -> None:
    more = ["/docs/"] if action == "--cat" else []
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" "$@" >&-', sys.executable, "-m", "mkroot", action, webroot, *more],
        cwd=ROOT,
        env=plain_environment(),
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, b"mkroot: the standard output is closed\n")


def test_an_interrupted_build_says_so_and_leaves_the_old_file(tmp_path: Path) -> None:
    plant(tmp_path, {b"source": {b"%d" % number: b"" for number in range(50)}, b"out": {}})
    output = tmp_path / "out" / "site"
    output.write_bytes(b"what was served before")
    # The interrupt comes when the walk is at the FIFO, which somebody at a terminal cannot time.
    program = (
        "import os, signal, sys\n"
        "from mkroot import cli, tree\n"
        # Who is started in the background by a shell is told to ignore it.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "show = tree.show\n"
        "def interrupted(path):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return show(path)\n"
        "tree.show = interrupted\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    os.mkfifo(tmp_path / "source" / "fifo")
    done = python("-c", program, tmp_path / "source", output)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"mkroot: interrupted\n")
    assert output.read_bytes() == b"what was served before"
    assert leftovers(output) == []
