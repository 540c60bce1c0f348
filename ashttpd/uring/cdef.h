typedef struct ashttpd_ring ashttpd_ring;
extern int64_t ashttpd_content;
int ashttpd_ring_open(ashttpd_ring **out, const struct ashttpd_limits *limits, int32_t *distrusted,
                      uint32_t entries, uint32_t completions, uint32_t buffers, uint32_t slots,
                      uint32_t flags);
int ashttpd_ring_enable(ashttpd_ring *ring);
void ashttpd_ring_close(ashttpd_ring *ring);
char *ashttpd_ring_pool(ashttpd_ring *ring);
int64_t ashttpd_ring_pool_bytes(ashttpd_ring *ring);
int ashttpd_ring_in_flight(ashttpd_ring *ring);
int ashttpd_ring_turn(ashttpd_ring *ring, const int64_t *sends, int numbers, int room, int timeout,
                      int32_t *events);
void ashttpd_ring_forget(ashttpd_ring *ring, int64_t epoch);
uint64_t *ashttpd_ring_activities(ashttpd_ring *ring);
int ashttpd_ring_welcome(ashttpd_ring *ring, int fd);
int ashttpd_ring_listen(ashttpd_ring *ring, int listener, int many);
int ashttpd_ring_unlisten(ashttpd_ring *ring, int listener);
int ashttpd_ring_wake_by(ashttpd_ring *ring, int eventfd);
int ashttpd_ring_hear(ashttpd_ring *ring, int fd, int mode);
int ashttpd_ring_deafen(ashttpd_ring *ring, int fd);
int ashttpd_ring_shutdown(ashttpd_ring *ring, int fd);
int ashttpd_ring_drop(ashttpd_ring *ring, int fd);
int ashttpd_ring_map(ashttpd_ring *ring, int file);
void ashttpd_ring_unmap(ashttpd_ring *ring, int map);
int ashttpd_ring_fetch(ashttpd_ring *ring, int fd, int map, int64_t offset, int64_t length);
#define MAX_EVENTS ...
#define EVENT_ROOM ...
#define EVENT_ROOM_OF_SEND ...
