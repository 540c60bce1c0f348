"""A static web server that answers from webroots, files holding a whole site ready to send.

The rooms: `http` says what HTTP means, `webroot` reads the files that `mkroot` writes, and the
engines move bytes. `cli` is the way in. This module owns the version and knows nothing else.
"""

__version__ = "0.1.0"
