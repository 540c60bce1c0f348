"""The grammar of an authority: uri-host [ ":" port ] (RFC 9110 section 7.2, RFC 3986 section 3.2).

An http URI has no user and no empty host (RFC 9110 sections 4.2.1 and 4.2.4). A port is any digits,
or none: the grammar has no largest one, and the server does not use it. An address has no zone,
which is for one machine alone (RFC 9844). authority.h has the same in C.
"""

import re
from typing import Final

# RFC 3986 section 2: unreserved / sub-delims
_NAME = rb"[A-Za-z0-9\-._~!$&'()*+,;=]"
# Section 3.2.2, rule by rule.
_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rb"%b\.%b\.%b\.%b" % (_OCTET, _OCTET, _OCTET, _OCTET)
_H16 = rb"[0-9A-Fa-f]{1,4}+"
_LS32 = rb"(?:%b:%b|%b)" % (_H16, _H16, _IPV4)
_ELIDED = rb"(?:(?:%b:){0,%d}%b)?::"
_IPV6 = b"|".join(
    (
        rb"(?:%b:){6}%b" % (_H16, _LS32),
        rb"::(?:%b:){5}%b" % (_H16, _LS32),
        *(
            _ELIDED % (_H16, before, _H16) + rb"(?:%b:){%d}%b" % (_H16, 4 - before, _LS32)
            for before in range(5)
        ),
        _ELIDED % (_H16, 5, _H16) + _H16,
        _ELIDED % (_H16, 6, _H16),
    )
)
_IP_FUTURE = rb"[vV][0-9A-Fa-f]+\.(?:%b|:)+" % _NAME
_REG_NAME = rb"(?:%b|%%[0-9A-Fa-f][0-9A-Fa-f])+" % _NAME
AUTHORITY: Final = re.compile(rb"(?:\[(?:%b|%b)\]|%b)(?::[0-9]*)?" % (_IPV6, _IP_FUTURE, _REG_NAME))
