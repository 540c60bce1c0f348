"""Slow and literal versions of what the server does fast: each reads like the RFC's own words."""

import string
from datetime import UTC, datetime
from ipaddress import IPv6Address

from ashttpd.http.request import Request
from fuzz.strategies import DATE_FORMS, TCHAR

_DIGITS = string.digits.encode()
_HEXDIG = string.hexdigits.encode()
# RFC 3986 section 2: unreserved / sub-delims
_NAME = (string.ascii_letters + string.digits + "-._~" + "!$&'()*+,;=").encode()
_ETAGC = bytes([0x21, *range(0x23, 0x7F), *range(0x80, 0x100)])


def is_digits(text: bytes) -> bool:
    """1*DIGIT."""
    return len(text) > 0 and all(byte in _DIGITS for byte in text)


def number(digits: bytes) -> int:
    """Return a number of any length; int() itself refuses more than 4,300 digits."""
    value = 0
    for start in range(0, len(digits), 1000):
        block = digits[start : start + 1000]
        value = value * 10 ** len(block) + int(block)
    return value


def is_authority(text: bytes) -> bool:
    """uri-host [ ":" port ] (RFC 9110 section 7.2), the host not empty."""
    if text[:1] == b"[":
        literal, closed, port = text[1:].partition(b"]")
        if not closed or not (is_ipv6(literal) or is_ip_future(literal)):
            return False
    else:
        name, colon, digits = text.partition(b":")
        port = colon + digits
        if not is_name(name):
            return False
    return port == b"" or (port[:1] == b":" and (port == b":" or is_digits(port[1:])))


def is_ipv6(text: bytes) -> bool:
    """Whether the standard library takes it for an address; it allows a zone, RFC 3986 does not."""
    try:
        IPv6Address(text.decode("ascii"))
    except ValueError:
        return False
    return b"%" not in text


def is_ip_future(text: bytes) -> bool:
    """RFC 3986 section 3.2.2: "v" 1*HEXDIG "." 1*( unreserved / sub-delims / ":" )."""
    version, dot, rest = text.partition(b".")
    if version[:1] not in (b"v", b"V") or not version[1:] or not dot or not rest:
        return False
    return all(byte in _HEXDIG for byte in version[1:]) and all(
        byte in _NAME + b":" for byte in rest
    )


def is_name(text: bytes) -> bool:
    """RFC 3986 section 3.2.2: reg-name = *( unreserved / pct-encoded / sub-delims ), not empty."""
    position = 0
    while position < len(text):
        if text[position] in _NAME:
            position += 1
            continue
        escape = text[position : position + 3]
        if len(escape) < 3 or escape[:1] != b"%" or any(b not in _HEXDIG for b in escape[1:]):
            return False
        position += 3
    return text != b""


def parse_range(field: bytes) -> tuple[int, int | None] | int | None:
    """Return `(first-pos, last-pos)` or a suffix-length of the one byte range that a field names.

    RFC 9110 section 14.1: None where it is not of the unit bytes, not one range, or invalid.
    """
    unit, equals, range_set = field.partition(b"=")
    if not equals or unit.lower() != b"bytes":
        return None
    spec = range_set.strip(b" \t")
    first, dash, last = spec.partition(b"-")
    if not dash:
        return None
    if first == b"":
        return number(last) if is_digits(last) else None
    if not is_digits(first) or (last and not is_digits(last)):
        return None
    if not last:
        return number(first), None
    # Section 14.1.1: an int-range is invalid if last-pos is less than first-pos.
    return None if number(last) < number(first) else (number(first), number(last))


def choose_range(field: bytes, length: int) -> range | str | None:
    """Return the positions that a Range selects, "unsatisfiable", or None for "ignore it".

    RFC 9110 section 14.1.2: an int-range is satisfiable if its first-pos is less than the length,
    a suffix-range if its suffix-length is not zero; both are cut to what there is. Of an empty
    body a suffix selects nothing, which no Content-Range can say.
    """
    parsed = parse_range(field)
    if parsed is None:
        return None
    if isinstance(parsed, int):
        if parsed == 0:
            return "unsatisfiable"
        return range(max(0, length - parsed), length) if length else None
    first, last = parsed
    if first >= length:
        return "unsatisfiable"
    return range(first, length if last is None else min(last + 1, length))


def parse_entity_tag(text: bytes) -> bytes | None:
    """Return the opaque-tag of an entity-tag (RFC 9110 section 8.8.3), or None."""
    opaque = text[2:] if text.startswith(b"W/") else text
    if len(opaque) < 2 or opaque[:1] != b'"' or opaque[-1:] != b'"':
        return None
    return opaque if all(byte in _ETAGC for byte in opaque[1:-1]) else None


def split_list(text: bytes) -> list[bytes]:
    """Return the elements of a list with commas outside of quotes, without the empty ones."""
    elements = [b""]
    quoted = False
    for i in range(len(text)):
        byte = text[i : i + 1]
        quoted ^= byte == b'"'
        if byte == b"," and not quoted:
            elements.append(b"")
        else:
            elements[-1] += byte
    return [element.strip(b" \t") for element in elements if element.strip(b" \t")]


def parse_entity_tags(text: bytes) -> list[bytes] | None:
    """Return the opaque tags of a list with at least one; None where it is malformed."""
    tags = [parse_entity_tag(element) for element in split_list(text)]
    return [tag for tag in tags if tag is not None] if tags and None not in tags else None


def parse_date(text: bytes, now: int) -> int | None:
    """Return the time of a well-formed HTTP-date (RFC 9110 section 5.6.7), or None."""
    for form in DATE_FORMS:
        try:
            date = datetime.strptime(text.decode("ascii"), form.replace("%e", "%d"))
        except ValueError:
            continue
        if form.count("%y"):
            year = datetime.fromtimestamp(now, UTC).year
            # The latest year with these digits that is at most 50 years ahead.
            date = date.replace(
                year=max(y for y in range(year - 99, year + 51) if y % 100 == date.year % 100)
            )
        return int(date.replace(tzinfo=UTC).timestamp())
    return None


def check(request: Request, tags: list[bytes], modified: int | None, now: int) -> int:
    """Return the status that RFC 9110 section 13.2.2 gives a GET, step by step."""
    if request.if_match is not None:
        strong = [] if request.if_match == b"*" else split_list(request.if_match)
        well_formed = request.if_match == b"*" or parse_entity_tags(request.if_match)
        if not well_formed or (request.if_match != b"*" and tags[0] not in strong):
            return 412
    elif request.if_unmodified_since is not None and modified is not None:
        date = parse_date(request.if_unmodified_since, now)
        if date is not None and not modified <= date:
            return 412
    if request.if_none_match is not None:
        if find_match(request.if_none_match, tags) is not None:
            return 304
    elif request.if_modified_since is not None and modified is not None:
        date = parse_date(request.if_modified_since, now)
        if date is not None and modified <= date:
            return 304
    return 200


def find_match(if_none_match: bytes, tags: list[bytes]) -> bytes | None:
    """Return the first of `tags` that an If-None-Match matches (RFC 9110 section 13.1.2)."""
    if if_none_match == b"*":
        return tags[0] if tags else None
    named = parse_entity_tags(if_none_match)
    if named is None:
        return None
    for tag in tags:
        if tag in named:
            return tag
    return None


def _weight(parameters: list[bytes]) -> float:
    """Return the first valid weight among parameters (RFC 9110 section 12.4.2), 1 without one."""
    for parameter in parameters:
        name, _, value = parameter.strip(b" \t").partition(b"=")
        whole, dot, thousandths = value.partition(b".")
        if name.lower() == b"q" and whole in (b"0", b"1") and len(thousandths) <= 3:
            digits = b"0" if whole == b"1" else _DIGITS
            if all(byte in digits for byte in thousandths):
                return float(whole + dot + thousandths)
    return 1.0


def _is_media_range(text: bytes) -> bool:
    kind, slash, subtype = text.partition(b"/")
    return bool(slash and kind and subtype) and all(byte in TCHAR for byte in kind + subtype)


def media_weight(accept: bytes, media_type: str) -> float:
    """Return what an Accept field gives a media type (RFC 9110 section 12.5.1), 0 for nothing.

    The most specific range decides, and of the same ranges the highest weight. An element that is
    no media range is skipped; a field of more than 100 elements is as good as none.
    """
    essence = media_type.split(";")[0].encode()
    elements = [element for element in accept.split(b",") if element.strip(b" \t")]
    if len(elements) > 100:
        return 1.0
    for wanted in (essence, essence.split(b"/")[0] + b"/*", b"*/*"):
        found = []
        for element in elements:
            media_range, *parameters = element.split(b";")
            media_range = media_range.strip(b" \t").lower()
            if _is_media_range(media_range) and media_range == wanted:
                found.append(_weight(parameters))
        if found:
            return max(found)
    return 0.0


def accepts(accept_encoding: dict[str, int], coding: str) -> bool:
    """Whether a field with these weights accepts a coding (RFC 9110 section 12.5.3).

    Empty is no field, or one without a value: of a client that need not know any coding.
    """
    if coding in accept_encoding:
        return accept_encoding[coding] > 0
    if "*" in accept_encoding:
        return accept_encoding["*"] > 0
    return coding == "identity"


def remove_dot_segments(path: bytes) -> bytes:
    """RFC 3986 section 5.2.4, letter by letter."""
    buffer, output = path, b""
    while buffer:
        if buffer.startswith(b"../"):
            buffer = buffer[3:]
        elif buffer.startswith((b"./", b"/./")):
            buffer = buffer[2:]
        elif buffer == b"/.":
            buffer = b"/"
        elif buffer.startswith(b"/../"):
            buffer, output = buffer[3:], output[: max(output.rfind(b"/"), 0)]
        elif buffer == b"/..":
            buffer, output = b"/", output[: max(output.rfind(b"/"), 0)]
        elif buffer in (b".", b".."):
            buffer = b""
        else:
            stop = buffer.find(b"/", 1)
            stop = len(buffer) if stop < 0 else stop
            buffer, output = buffer[stop:], output + buffer[:stop]
    return output
