"""The threads engine: an acceptor and a fixed pool of workers that may block on files.

Reading a file may block a worker; a peer never does.
"""
