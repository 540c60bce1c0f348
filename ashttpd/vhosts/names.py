"""Which names of the vhosts directory are hosts, and why the others are not.

Pure: names in, decisions out; no file is looked at.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final

from ashttpd.sites import DEFAULT_HOST

# RFC 3986 section 3.2.2, without percent-encoding: a reg-name or an IP-literal. `*.` in front of a
# reg-name matches every subdomain.
_HOST_NAME: Final = re.compile(
    r"(\*\.)?[A-Za-z0-9_~!$&'()+,;=-]+(\.[A-Za-z0-9_~!$&'()+,;=-]+)*|\[[0-9A-Fa-f:.]+\]"
)
# RFC 3986 section 3.2.3. Two colons and more are an IPv6 address without its brackets.
_WITH_PORT: Final = re.compile(r"([^:\[\]]+|\[[^\[\]]*\]):[0-9]*")
_WITHOUT_BRACKETS: Final = re.compile(r"[0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")
# GNU ln -sf makes a link of this name (force-link.c of gnulib) and renames it over the old one.
_TEMPORARY_LINK: Final = re.compile(r"Cu[A-Za-z0-9]{6}")
# GNU sed -i writes to a file of such a name; most have a capital letter, as no word has. Vim tries
# with the second one whether it may write.
_TEMPORARY_FILE: Final = re.compile(r"sed(?=[a-z0-9]*[A-Z])[A-Za-z0-9]{6}|4913")
# What editors (`x~`, `#x#`, `x.swp`, nano's `x.save.1`), patch, cp --backup (`x~`, `x.~1~`),
# package managers and downloads call what is not the file. None of these is a top-level domain;
# `save` is.
_BACKUP: Final = re.compile(
    r".*~|\#.*\#|.*\.("
    r"bak[0-9]*|bck|backup|copy|save\.[0-9]+|old|orig|rej|tmp|temp|sw[a-px]|"
    r"part|partial|filepart|crdownload|"
    r"disabled|dpkg-[a-z]+|ucf-[a-z]+|rpm(new|save|orig)|pac(new|save|orig)|apk-new"
    r")",
    re.IGNORECASE,
)
_BACKUP_REASON: Final = (
    "it looks like a backup or a half-made copy; remove it, or put a dot in front"
)
# The way to a host whose name ends like a backup's: no entry can be called `*`, so this is no copy.
_WILDCARD_OF_SUFFIX: Final = re.compile(r"\*\.[^.~#]+")


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a directory, sorted out; those that begin with a dot are in none of these."""

    # File names by host, which is in lower case.
    hosts: dict[str, str]
    # Why a file name is no host.
    refused: dict[str, str]
    # Names that may be gone in a moment, and why they are no host.
    temporary: dict[str, str]


def read_names(file_names: Iterable[str]) -> Names:
    """Sort out the names of a directory, in any order.

    Editors, rsync and mkroot write under a name that begins with a dot and rename it.
    """
    refused: dict[str, str] = {}
    temporary = {}
    same: dict[str, list[str]] = {}
    for name in sorted(file_names):
        if name.startswith("."):
            continue
        if _TEMPORARY_LINK.fullmatch(name):
            temporary[name] = "ln left it behind; remove it, or write it in lower case"
            continue
        if _is_backup(name):
            temporary[name] = _BACKUP_REASON
            continue
        reason = maybe_reason(name)
        if reason is None:
            # All of it is ASCII by now: no other letter is folded to one of these.
            same.setdefault(name.lower(), []).append(name)
        else:
            refused[name] = reason
    hosts = {}
    for host, names in same.items():
        hosts[host] = chosen = host if host in names else names[0]
        for name in names:
            if name != chosen:
                refused[name] = f"{chosen} is the same host; remove one of the two"
    return Names(hosts, refused, temporary)


def maybe_reason(name: str) -> str | None:
    """Return why a name is no host, and what to do about it, or None where it is one."""
    if name == DEFAULT_HOST:
        return None
    if _is_backup(name):
        return _BACKUP_REASON
    if _WITHOUT_BRACKETS.fullmatch(name):
        return f"its name is no host name; an IPv6 address is written [{name}]"
    if _WITH_PORT.fullmatch(name):
        host = name.rpartition(":")[0]
        return f"its name has a port; a site is served on every port, so call it {host}"
    if not name.isascii():
        return "its name is no host name; write it in ASCII, as browsers send it (xn--...)"
    if name.endswith(".") and _HOST_NAME.fullmatch(name[:-1]):
        return f"its name is no host name; leave the final dot out: {name[:-1]}"
    if not _HOST_NAME.fullmatch(name) or not _is_address(name):
        return (
            "its name is no host name; rename it to one, as in example.com, *.example.com or "
            "[2001:db8::1], or put a dot in front"
        )
    return None


def _is_backup(name: str) -> bool:
    if _TEMPORARY_FILE.fullmatch(name):
        return True
    return bool(_BACKUP.fullmatch(name)) and not _WILDCARD_OF_SUFFIX.fullmatch(name)


def _is_address(name: str) -> bool:
    """Whether an IP-literal is an address; all other names pass."""
    if name.startswith("["):
        try:
            IPv6Address(name[1:-1])
        except AddressValueError:
            return False
    return True
