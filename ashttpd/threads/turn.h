extern int64_t ashttpd_content;
int ashttpd_epoll(void);
int ashttpd_watch(int epoll, int fd, int mode, int add);
int ashttpd_turn(int epoll, const int64_t *sends, int send_count, int timeout, char *buffer,
                 int32_t *events);
int ashttpd_accept(int listener, int32_t *fds);
int ashttpd_send(int fd, const char *data, int64_t offset, int64_t length, int more);
int ashttpd_shutdown(int fd);
#define MAX_EVENTS ...
#define BUFFER_BYTES ...
