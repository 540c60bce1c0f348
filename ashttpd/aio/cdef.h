typedef struct ashttpd_queue ashttpd_queue;
int ashttpd_queue_open(ashttpd_queue **out, int32_t buffers, int64_t buffer_bytes, int32_t depth);
void ashttpd_queue_close(ashttpd_queue *queue);
int ashttpd_queue_eventfd(ashttpd_queue *queue);
char *ashttpd_queue_memory(ashttpd_queue *queue);
int ashttpd_queue_submit(ashttpd_queue *queue, const int64_t *reads, int count);
int ashttpd_queue_reap(ashttpd_queue *queue, int64_t *events);
int ashttpd_alignment(int fd);
int64_t ashttpd_cached(int fd, int64_t offset, int64_t length);
#define MAX_EVENTS ...
