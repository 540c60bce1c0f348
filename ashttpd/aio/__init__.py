"""The aio engine: one loop over epoll(7), with the kernel's asynchronous file reads, io_submit(2).

What the kernel has in memory is sent at once. What it has not is read past its memory, with
O_DIRECT, while the loop goes on.
"""
