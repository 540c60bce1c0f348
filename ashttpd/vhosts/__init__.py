"""What follows the vhosts directory: its names, the file behind each, and when either changes.

It knows webroots and the picture of them (`ashttpd.sites`), and no engine, request or signal.
"""
