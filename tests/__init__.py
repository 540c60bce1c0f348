"""The tests; those that need a running server start one in a process of its own."""
