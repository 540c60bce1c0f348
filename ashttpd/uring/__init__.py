"""The uring engine: one loop over one io_uring(7), through liburing.

Sockets are accepted, received from and sent to by operations that the kernel completes. A turn
of the loop is one call: it submits what the last turn decided, waits, and hands back what was
completed.
"""
