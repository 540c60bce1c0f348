"""The builder of webroots: it turns a directory into one file that `ashttpd` serves.

Everything a server would have to guess at a request, media types, validators, compressed copies,
redirects and listings, is settled here, once. Both packages are released together, so the version
is the one of `ashttpd`.
"""

from ashttpd import __version__

__all__ = ["__version__"]
