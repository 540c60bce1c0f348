"""Which names of a vhosts directory are hosts, and what is said of the others."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ashttpd.http.authority import AUTHORITY
from ashttpd.sites import DEFAULT_HOST
from ashttpd.vhosts.names import maybe_reason, read_names
from fuzz.strategies import near_hosts


@pytest.mark.parametrize(
    "name",
    [
        "example.com",
        "EXAMPLE.com",
        "*.example.com",
        "localhost",
        "my_host",
        "192.0.2.1",
        "[2001:db8::1]",
        "[::ffff:192.0.2.1]",
        "xn--bcher-kva.example",
        "__default__",
        "site.webroot",
        "old.example.com",
        "bak",
        "backup.example",
        "cu123456",
        "Custom.example",
        "*.bak",
    ],
)
def test_a_host_name_is_served_in_lower_case(name: str) -> None:
    assert read_names([name]).hosts == {name.lower(): name}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("example.com:8080", "has a port; a site is served on every port, so call it example.com"),
        ("[::1]:8080", r"has a port; a site is served on every port, so call it [::1]"),
        ("example.com:", "has a port"),
        ("2001:db8::1", "an IPv6 address is written [2001:db8::1]"),
        ("::1", "an IPv6 address is written [::1]"),
        ("[::zz]", "rename it to one, as in example.com"),
        ("[1:2]", "rename it to one, as in example.com"),
        ("[::1", "rename it to one, as in example.com"),
        ("example.com.", "leave the final dot out: example.com"),
        ("bücher.example", "write it in ASCII"),
        ("\u212aelvin.example", "write it in ASCII"),
        ("\udcff.example", "write it in ASCII"),
        ("a b", "rename it to one, as in example.com"),
        ("a..b", "rename it to one, as in example.com"),
        ("a%41", "rename it to one, as in example.com"),
        ("*", "rename it to one, as in example.com"),
        ("a.*", "rename it to one, as in example.com"),
        ("a\x1b[2J", "rename it to one, as in example.com"),
        ("a\n", "rename it to one, as in example.com"),
        ("*.[::1]", "rename it to one, as in example.com"),
    ],
)
def test_a_name_that_is_no_host_is_refused_with_the_way_out(name: str, reason: str) -> None:
    names = read_names([name, "good.example"])
    assert names.hosts == {"good.example": "good.example"}
    assert reason in names.refused[name]


@pytest.mark.parametrize(
    "suffix",
    [
        *("~", ".~1~", ".bak", ".BAK", ".bak2", ".backup", ".old", ".orig", ".rej", ".swp", ".swo"),
        *(".tmp", ".part", ".filepart", ".dpkg-old", ".dpkg-new", ".dpkg-dist", ".ucf-old"),
        *(".rpmnew", ".rpmsave", ".rpmorig", ".pacnew", ".disabled"),
        *(".bck", ".copy", ".save.1", ".swx"),
    ],
)
def test_a_backup_or_half_made_copy_is_refused(suffix: str) -> None:
    for host in ("example.com", "*.example.com", "__default__"):
        assert "looks like a backup" in read_names([host, host + suffix]).temporary[host + suffix]
    assert "looks like a backup" in read_names(["#example.com#"]).temporary["#example.com#"]


def test_what_sed_and_vim_write_for_a_moment_is_refused_and_no_name_that_a_host_may_have() -> None:
    names = read_names(["sedR3x0qZ", "4913", "sedentary", "sedan", "4914", "shop.save"])
    assert set(names.temporary) == {"sedR3x0qZ", "4913"}
    assert set(names.hosts) == {"sedentary", "sedan", "4914", "shop.save"}


@pytest.mark.parametrize("name", [".hidden", ".example.com.swp", "._example.com", ".", ".#example"])
def test_a_name_that_begins_with_a_dot_is_left_alone(name: str) -> None:
    names = read_names([name])
    assert not names.hosts
    assert not names.refused
    assert not names.temporary


def test_the_temporary_link_of_gnu_ln_is_no_host() -> None:
    names = read_names(["CuZwib1n", "Cu000000", "Cu00000", "Cu0000000", "Cu00000.", "cuZwib1n"])
    assert set(names.temporary) == {"CuZwib1n", "Cu000000"}
    assert set(names.hosts) == {"cu00000", "cu0000000", "cuzwib1n"}


def test_of_names_that_differ_by_case_the_one_in_lower_case_is_served() -> None:
    names = read_names(["example.com", "Example.com", "EXAMPLE.COM"])
    assert names.hosts == {"example.com": "example.com"}
    assert "EXAMPLE.COM" in names.refused
    assert "example.com is the same host; remove one" in names.refused["Example.com"]


def test_of_names_that_differ_by_case_without_one_in_lower_case_the_first_is_served() -> None:
    names = read_names(["Example.com", "exAMPLE.com"])
    assert names.hosts == {"example.com": "Example.com"}
    assert "Example.com is the same host" in names.refused["exAMPLE.com"]


_NAMES = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=12),
        st.text("aAkK.~:*[]1\u212a\udcff\x1b_-", min_size=1, max_size=8),
        st.from_regex(r"\A(a|b)\.(example|bak|EXAMPLE)\Z"),
    ),
    unique=True,
)


@given(_NAMES)
def test_each_name_is_a_host_refused_temporary_or_hidden_and_only_one_of_these(
    file_names: list[str],
) -> None:
    names = read_names(file_names)
    sorts = (set(names.hosts.values()), set(names.refused), set(names.temporary))
    visible = {name for name in file_names if not name.startswith(".")}
    assert set().union(*sorts) == visible
    assert sum(map(len, sorts)) == len(visible)
    for host, name in names.hosts.items():
        assert host.isascii()
        assert host.isprintable()
        assert host == name.lower()
        assert maybe_reason(name) is None


@given(_NAMES)
def test_the_order_of_the_directory_does_not_matter(file_names: list[str]) -> None:
    assert read_names(file_names) == read_names(reversed(file_names))


@given(
    near_hosts().map(lambda host: host.decode("latin-1"))
    | st.text("0123456789aF:.", max_size=24).map("[{}]".format)
)
@example("[1:2]")
@example("[::01.2.3.4]")
@example("[1:2:3:4:5:6:7:8::]")
@example("[fe80::1%25eth0]")
@example("[...]")
def test_a_name_that_is_served_is_one_that_a_request_can_ask_for(name: str) -> None:
    for host in read_names([name]).hosts:
        asked = "www" + host[1:] if host.startswith("*") else host
        assert host == DEFAULT_HOST or AUTHORITY.fullmatch(asked.encode("ascii"))
