typedef struct ashttpd_sockets ashttpd_sockets;
extern int64_t ashttpd_content;
int ashttpd_open(ashttpd_sockets **out, const struct ashttpd_limits *limits, uint32_t most,
                 int32_t *distrusted);
void ashttpd_close(ashttpd_sockets *sockets);
char *ashttpd_came(ashttpd_sockets *sockets);
int64_t ashttpd_came_bytes(const ashttpd_sockets *sockets);
uint64_t *ashttpd_activities(ashttpd_sockets *sockets);
int64_t ashttpd_last_answer(ashttpd_sockets *sockets);
void ashttpd_forget_hot(ashttpd_sockets *sockets, int64_t epoch);
void ashttpd_forget(ashttpd_sockets *sockets, int fd, int is_queued);
int ashttpd_count(const ashttpd_sockets *sockets);
void ashttpd_drop(ashttpd_sockets *sockets, int fd, int is_queued);
int ashttpd_watch(ashttpd_sockets *sockets, int fd, int mode);
void ashttpd_pour(ashttpd_sockets *sockets, int fd, int file, int64_t offset, int64_t length);
int64_t ashttpd_poured(ashttpd_sockets *sockets, int fd);
int ashttpd_add(ashttpd_sockets *sockets, const int32_t *fds, int count, int mode);
int ashttpd_turn(ashttpd_sockets *sockets, const int64_t *sends, int send_numbers,
                 int timeout, int32_t *events);
int ashttpd_accept(int listener, int32_t *fds, int most);
int ashttpd_send(int fd, const char *data, int64_t offset, int64_t length);
int ashttpd_shutdown(int fd);
#define MAX_EVENTS ...
#define AT_ONCE_BYTES ...
#define WINDOW_BYTES ...
#define HURRIED_BYTES ...
#define SMALL_MICROSECONDS ...
