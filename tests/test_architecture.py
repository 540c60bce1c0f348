"""Who may import whom: the arrows of docs/architecture.md, read from the source."""

import ast
from pathlib import Path

import pytest

import ashttpd
import mkroot

ROOTS = [Path(package.__path__[0]) for package in (ashttpd, mkroot)]
ENGINES = ("ashttpd.threads", "ashttpd.uring", "ashttpd.aio")
BELOW_ENGINES = (
    *("ashttpd.http", "ashttpd.webroot"),
    *("ashttpd.accesslog", "ashttpd.admission", "ashttpd.engine", "ashttpd.metrics"),
    *("ashttpd.bodies", "ashttpd.cold", "ashttpd.complaints", "ashttpd.epoll", "ashttpd.hot"),
    *("ashttpd.budget", "ashttpd.listen", "ashttpd.logfile", "ashttpd.sink"),
)
# What `http` must do without: it decides, and others act.
WORLDLY = {
    "asyncio",
    "io",
    "logging",
    "mmap",
    "os",
    "pathlib",
    "random",
    "select",
    "selectors",
    "signal",
    "socket",
    "subprocess",
    "sys",
    "threading",
    "time",
}
# Declares a module to the compiler; runs when the project is built, never in the server.
BUILD_SCRIPTS = "build_"


def imports_of(source: str, package: str) -> set[str]:
    """Return the full names of all that a module imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                parts = parts[: len(parts) - node.level + 1]
                base = ".".join([*parts, base] if base else parts)
            found |= {f"{base}.{alias.name}" for alias in node.names} | {base}
    return found


def read_modules() -> dict[str, set[str]]:
    """Return the imports of each module of both packages, by the module's name."""
    modules = {}
    for root in ROOTS:
        for path in root.rglob("*.py"):
            if path.name.startswith(BUILD_SCRIPTS):
                continue
            parts = path.relative_to(root.parent).with_suffix("").parts
            name = ".".join(parts).removesuffix(".__init__")
            package = ".".join(parts[:-1])
            modules[name] = imports_of(path.read_text(), package)
    return modules


MODULES = read_modules()


def within(name: str, *packages: str) -> bool:
    """Whether a name is one of the packages or lies in one."""
    return any(name == package or name.startswith(package + ".") for package in packages)


def ours(imports: set[str]) -> set[str]:
    """Return the modules of this project among names of modules and of what is in them."""
    return imports & MODULES.keys()


def modules_in(package: str) -> list[str]:
    return sorted(name for name in MODULES if within(name, package))


def test_the_reader_of_imports_sees_every_form() -> None:
    source = "import a.b\nfrom c import d\nfrom . import e\nfrom .f import g\nfrom ..h import i\n"
    seen = imports_of(source + "def later():\n    import j\n", "p.q")
    assert seen == {"a.b", "c", "c.d", "p.q", "p.q.e", "p.q.f", "p.q.f.g", "p.h", "p.h.i", "j"}


@pytest.mark.parametrize("module", modules_in("ashttpd.http"))
def test_http_imports_only_itself_and_what_a_resource_is(module: str) -> None:
    others = {n for n in ours(MODULES[module]) if not within(n, "ashttpd.http")}
    assert others <= {"ashttpd.webroot", "ashttpd.webroot.resource"}
    if "ashttpd.webroot" in others:
        assert "ashttpd.webroot.resource" in others


@pytest.mark.parametrize("module", modules_in("ashttpd.http"))
def test_http_imports_no_socket_file_thread_clock_or_log(module: str) -> None:
    assert not {name.partition(".")[0] for name in MODULES[module]} & WORLDLY


@pytest.mark.parametrize("module", modules_in("ashttpd.webroot"))
def test_webroot_imports_only_itself(module: str) -> None:
    assert all(within(name, "ashttpd.webroot") for name in ours(MODULES[module]))


@pytest.mark.parametrize("module", [m for engine in ENGINES for m in modules_in(engine)])
def test_an_engine_imports_no_other_engine_and_nothing_above_it(module: str) -> None:
    engine = next(engine for engine in ENGINES if within(module, engine))
    allowed = (engine, *BELOW_ENGINES)
    assert all(within(name, *allowed) for name in ours(MODULES[module]) if name != "ashttpd")


@pytest.mark.parametrize("module", modules_in("ashttpd.epoll"))
def test_what_engines_share_imports_no_engine_and_nothing_above_it(module: str) -> None:
    assert all(within(name, *BELOW_ENGINES) for name in ours(MODULES[module]) if name != "ashttpd")


@pytest.mark.parametrize("module", modules_in("ashttpd.vhosts"))
def test_what_follows_the_sites_knows_webroots_and_the_memo_and_nothing_of_requests(
    module: str,
) -> None:
    allowed = (
        "ashttpd.vhosts",
        "ashttpd.webroot",
        "ashttpd.answers",
        "ashttpd.complaints",
        "ashttpd.sites",
        "ashttpd.show",
    )
    assert all(within(name, *allowed) for name in ours(MODULES[module]) if name != "ashttpd")


@pytest.mark.parametrize("module", modules_in("ashttpd"))
def test_the_server_never_imports_the_builder(module: str) -> None:
    assert not {name for name in MODULES[module] if within(name, "mkroot")}


@pytest.mark.parametrize("module", modules_in("mkroot"))
def test_the_builder_imports_the_format_the_paths_and_the_pages_only(module: str) -> None:
    allowed = {
        "ashttpd",
        "ashttpd.commandline",
        "ashttpd.http",
        "ashttpd.http.errors",
        "ashttpd.http.limits",
        "ashttpd.http.pages",
        "ashttpd.http.target",
        "ashttpd.standard",
    }
    used = {name for name in ours(MODULES[module]) if within(name, "ashttpd")}
    assert {name for name in used if not within(name, "ashttpd.webroot")} <= allowed


def test_only_the_scan_touches_its_compiled_module() -> None:
    users = {m for m, imports in MODULES.items() if "ashttpd.http._scan" in imports}
    assert users == {"ashttpd.http.scan"}


def test_the_core_does_not_know_who_wires_it() -> None:
    upper = ("ashttpd.cli", "ashttpd.supervisor", "ashttpd.server", "ashttpd.config", *ENGINES)
    modules = ("answers", "cold", "sites", "accesslog", "engine", "listen")
    followers = modules_in("ashttpd.vhosts")
    own = (f"ashttpd.{name}" for name in (*modules, "admission", "complaints"))
    for module in (*own, *followers):
        assert not {name for name in ours(MODULES[module]) if within(name, *upper)}


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {name: ours(imports) - {name} for name, imports in MODULES.items()}
    finished: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, f"a circle: {' → '.join((*path, name))}"
        if name not in finished:
            for other in sorted(graph[name]):
                visit(other, (*path, name))
            finished.add(name)

    for name in sorted(graph):
        visit(name, ())
