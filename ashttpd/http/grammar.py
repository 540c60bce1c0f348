"""The grammar of what is parsed behind the scan; each pattern carries its RFC rule's name.

Always used with fullmatch or as whole tokens, always on ASCII byte classes.
"""

import re
from typing import Final

# RFC 9110 section 8.8.3: entity-tag = [ weak ] opaque-tag; etagc = %x21 / %x23-7E / obs-text
ENTITY_TAG: Final = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*+")')

# RFC 9110 section 5.6.1: #element, with the empty elements that a recipient has to accept. The
# quantifiers are possessive: white space could belong to either side of a comma, and a list of
# nothing but those would be tried in 2**n ways.
ENTITY_TAG_LIST: Final = re.compile(
    rb"[ \t,]*+(?:%b)(?:[ \t]*+,[ \t,]*+(?:%b))*+[ \t,]*+" % ((ENTITY_TAG.pattern,) * 2)
)

# RFC 9110 section 14.1.2: a ranges-specifier of one int-range or suffix-range in bytes
BYTE_RANGE: Final = re.compile(rb"(?i:bytes)=[ \t]*(?:([0-9]+)-([0-9]*)|-([0-9]+))[ \t]*")

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # RFC 9110 section 5.6.2
# RFC 9110 section 12.5.1: one element of Accept; parameters other than the weight are skipped
MEDIA_RANGE: Final = re.compile(rb"[ \t]*(%b/%b)[ \t]*(;[^,]*)?" % (_TOKEN, _TOKEN))

# RFC 9110 section 12.4.2: weight = OWS ";" OWS "q=" qvalue
WEIGHT: Final = re.compile(rb";[ \t]*[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)[ \t]*(?:;|\Z)")

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

# RFC 9530 section 4: Want-Repr-Digest is a Dictionary (RFC 8941 section 3.2) of Integers.
_PREFERENCE = rb"[a-z*][a-z0-9_\-.*]*+=-?[0-9]{1,15}+"
DIGEST_PREFERENCE: Final = re.compile(rb"([a-z*][a-z0-9_\-.*]*+)=(-?[0-9]{1,15})")
DIGEST_PREFERENCES: Final = re.compile(rb"%b(?:[ \t]*+,[ \t]*+%b)*+" % (_PREFERENCE, _PREFERENCE))

# RFC 9112 section 7.1: a chunk's first line, chunk-size [ chunk-ext ]; 16 digits are enough.
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*+"'
_EXTENSION = rb"[ \t]*+;[ \t]*+%b(?:[ \t]*+=[ \t]*+(?:%b|%b))?+" % (_TOKEN, _TOKEN, _QUOTED)
CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16}+)(?:%b)*+" % _EXTENSION)
# RFC 9112 section 7.1.2: a trailer field line
TRAILER_LINE: Final = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*+" % _TOKEN)
