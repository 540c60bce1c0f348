"""How much of large bodies is sent at a time, whatever engine sends them.

What compiled code has to know of it stands in bodies.c, too.
"""

from typing import Final

# A body up to here leaves with its head in the turn that answers it; most sockets take as much.
# Measured: with a quarter of it, a body of 1 MiB costs a tenth more.
AT_ONCE_BYTES: Final = 1 << 20
# What one connection may send before it is the next one's turn. Measured with sendfile: a quarter
# of it costs half as much again per byte, and beyond it nothing is gained.
WINDOW_BYTES: Final = 2 << 20
# What of all of them is sent before those who ask for small answers are heard again, as long as
# there are any.
HURRIED_BYTES: Final = 512 << 10
# What compiled code is given of a body at a time, to be sent as the socket takes it. In between we
# look at its file; each trip costs as much as sending half a MiB.
STINT_BYTES: Final = 32 << 20
# How long after a small answer the next one is expected.
SMALL_SECONDS: Final = 1.0
