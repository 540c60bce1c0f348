"""The threads engine: an acceptor and a fixed pool of workers that may block on files.

Each worker owns its connections and waits for their sockets with an epoll of its own, so a
request costs no hop between threads. Reading a file may block a worker; a peer never does.
"""
