extern int64_t ashttpd_content;
int ashttpd_epoll(void);
int ashttpd_forget(int epoll, int fd);
int ashttpd_drop(int epoll, int fd);
int ashttpd_watch(int epoll, int fd, int mode);
int ashttpd_add(int epoll, const int32_t *fds, int count, int mode);
int32_t ashttpd_buffer_bytes(const struct ashttpd_limits *limits);
int ashttpd_turn(int epoll, const struct ashttpd_limits *limits, const int64_t *sends,
                 int send_numbers, int timeout, char *buffer, int32_t *events);
int ashttpd_accept(int listener, int32_t *fds, int most);
int ashttpd_send(int fd, const char *data, int64_t offset, int64_t length);
int ashttpd_shutdown(int fd);
#define MAX_EVENTS ...
