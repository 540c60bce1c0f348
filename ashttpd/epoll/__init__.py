"""What the engines over epoll(7) share: sockets, a worker that serves them, an acceptor.

A worker owns its connections and waits for their sockets with an epoll of its own, so a request
costs no hop between threads. How it reads files is the engine's.
"""
