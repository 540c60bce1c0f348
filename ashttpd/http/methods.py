"""Which methods there are besides those that are served: data, with their sources."""

from typing import Final

# The HTTP Method Registry of IANA (RFC 9110 section 16.1.1) without GET, HEAD and OPTIONS, which
# are served, and without `*` and PRI, which are registered so that nothing uses them as methods.
OTHER_METHODS: Final = frozenset(
    (
        # RFC 9110 section 9.3
        *(b"CONNECT", b"DELETE", b"POST", b"PUT", b"TRACE"),
        # RFC 2068 section 19.6.1
        *(b"LINK", b"UNLINK"),
        # RFC 5789 section 2
        b"PATCH",
        # RFC 10008
        b"QUERY",
        # WebDAV: RFC 4918 section 9
        *(b"COPY", b"LOCK", b"MKCOL", b"MOVE", b"PROPFIND", b"PROPPATCH", b"UNLOCK"),
        # Its versions: RFC 3253
        *(b"BASELINE-CONTROL", b"CHECKIN", b"CHECKOUT", b"LABEL", b"MERGE", b"MKACTIVITY"),
        *(b"MKWORKSPACE", b"REPORT", b"UNCHECKOUT", b"UPDATE", b"VERSION-CONTROL"),
        # Its ordered collections: RFC 3648 section 7
        b"ORDERPATCH",
        # Its access control: RFC 3744 section 8.1
        b"ACL",
        # Its redirects: RFC 4437 sections 6 and 7
        *(b"MKREDIRECTREF", b"UPDATEREDIRECTREF"),
        # Its calendars: RFC 4791 section 5.3.1
        b"MKCALENDAR",
        # Its search: RFC 5323 section 2
        b"SEARCH",
        # Its bindings: RFC 5842 sections 4 to 6
        *(b"BIND", b"REBIND", b"UNBIND"),
    )
)
