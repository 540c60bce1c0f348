"""The grammar of what is parsed behind the scan; each pattern carries its RFC rule's name.

Always used with fullmatch or as whole tokens, always on ASCII byte classes. Patterns hold one
element and no list: a loop of groups would try a long list in 2**n ways, or be possessive, and the
possessive loops of Python 3.11.2 accept what they should not.
"""

import re
from typing import Final

# RFC 9110 section 8.8.3: entity-tag = [ weak ] opaque-tag; etagc = %x21 / %x23-7E / obs-text
ENTITY_TAG: Final = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*+")')

# RFC 9110 section 14.1.2: int-range / suffix-range
BYTE_RANGE: Final = re.compile(rb"([0-9]++)-([0-9]*+)|-([0-9]++)")

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # RFC 9110 section 5.6.2
# RFC 9110 section 12.5.1: one element of Accept; parameters other than the weight are skipped
MEDIA_RANGE: Final = re.compile(rb"[ \t]*+(%b/%b)[ \t]*+(;[^,]*)?" % (_TOKEN, _TOKEN))

# RFC 9110 section 12.4.2: weight = OWS ";" OWS "q=" qvalue
WEIGHT: Final = re.compile(rb";[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*(?:;|\Z)")

# RFC 9110 section 12.5.3: codings [ weight ]
CODING_PREFERENCE: Final = re.compile(
    rb"(%b)(?:[ \t]*+;[ \t]*+[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?))?" % _TOKEN
)

# RFC 9110 section 5.6.7: the three forms of HTTP-date. Names are case-sensitive; whether the day of
# the week fits the date is not asked.
_DAY = rb"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = rb"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTH = rb"(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)"
_TIME = rb"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
IMF_FIXDATE: Final = re.compile(
    rb"%b, (?P<day>[0-9]{2}) %b (?P<year>[0-9]{4}) %b GMT" % (_DAY, _MONTH, _TIME)
)
RFC850_DATE: Final = re.compile(
    rb"%b, (?P<day>[0-9]{2})-%b-(?P<year>[0-9]{2}) %b GMT" % (_LONG_DAY, _MONTH, _TIME)
)
ASCTIME_DATE: Final = re.compile(
    rb"%b %b (?P<day>[0-9]{2}| [0-9]) %b (?P<year>[0-9]{4})" % (_DAY, _MONTH, _TIME)
)

# RFC 9530 section 4: a member of Want-Repr-Digest, a Dictionary (RFC 8941 section 3.2) of Integers
DIGEST_PREFERENCE: Final = re.compile(rb"([a-z*][a-z0-9_\-.*]*+)=(-?[0-9]{1,15})")

# RFC 9112 section 7.1: chunk-size, of which 16 digits are enough, and one chunk-ext
CHUNK_SIZE: Final = re.compile(rb"[0-9A-Fa-f]{1,16}")
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
CHUNK_EXTENSION: Final = re.compile(
    rb"[ \t]*+;[ \t]*+%b(?:[ \t]*+=[ \t]*+(?:%b|%b))?" % (_TOKEN, _TOKEN, _QUOTED)
)
# RFC 9112 section 7.1.2: a trailer field line
TRAILER_LINE: Final = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*+" % _TOKEN)

# A list of more elements is taken for malformed. Browsers send up to a dozen media ranges and five
# codings, mobile phones of the past sent some sixty media ranges, and a cache sends the tag of each
# copy that it holds: five. A head has room for 8,000 elements, of which each costs a microsecond.
MAX_ELEMENTS: Final = 100

_SEPARATOR = re.compile(rb"[ \t]*+(?:,[ \t,]*+|\Z)")


def elements_of(
    field: bytes, element: re.Pattern[bytes], most: int = MAX_ELEMENTS
) -> list[re.Match[bytes]]:
    """Return the elements of a list, none where it is malformed (RFC 9110 section 5.6.1.2).

    Empty elements are passed over. A list of more than `most` elements is malformed. The work is
    linear.
    """
    found: list[re.Match[bytes]] = []
    position = len(field) - len(field.lstrip(b" \t,"))
    while position < len(field):
        match = element.match(field, position)
        separator = match and _SEPARATOR.match(field, match.end())
        if match is None or separator is None or len(found) == most:
            return []
        found.append(match)
        position = separator.end()
    return found
