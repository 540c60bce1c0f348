"""What HTTP means for an origin server of static files: pure functions and one state machine.

No socket, file, thread or clock: bytes, limits and clock readings come in as arguments, plans go
out. The file list reads like a request's way: scan, request, target, conditional, ranges,
respond, plan, connection.
"""
