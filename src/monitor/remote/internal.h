/* internal.h - of remote write: a queue, its series, shards and marks.
 *
 * A queue alternates between the loop and at most one pool thread. A *step* on the pool thread
 * takes back what was sent, reads the log, sorts entries into shards and builds the next message of
 * each shard that is free; then the loop sends these. While a step runs the loop leaves shards and
 * series alone but for the atomic state of each shard, by which they are handed over. */
#pragma once

#include <stdatomic.h>

#include "base/map.h"
#include "base/vec.h"
#include "fetch/fetch.h"
#include "monitor/remote/remote_write.h"
#include "monitor/tsdb/wal_record.h"
#include "monitor/tsdb/wal_tail.h"

/* ---- series.c: what the log's numbers stand for, relabelled ---- */

typedef struct SentSeries {
    uint64_t ref;
    uint32_t seen;    /* newest segment or checkpoint that names it */
    uint32_t pending; /* entries that point here */
    uint64_t last;    /* number of its newest entry in its shard */
    bool is_dropped;  /* by relabelling */
    uint8_t type;     /* of metadata: a number of both versions' enumeration */
    char *texts;      /* unit and help, owned */
    StrView unit, help;
    size_t len;
    char labels[]; /* fields of a 1.0 TimeSeries */
} SentSeries;

typedef struct SeriesTable {
    SentSeries **slots;
    size_t cap, len;
    Arena scratch;
} SeriesTable;

void series_table_init(SeriesTable *t);
void series_table_free(SeriesTable *t);
SentSeries *series_table_get(const SeriesTable *t, uint64_t ref); /* NULL: unknown */
/* Adds a series under its labels of the log, or notes that it was seen again. */
int series_table_add(SeriesTable *t, uint64_t ref, Labels l, uint32_t segment,
                     const ConfigRemoteWrite *cfg, Labels external, Err *err) NODISCARD;
int series_set_metadata(SentSeries *s, const MetricMetadata *m, Err *err) NODISCARD;
/* Forgets series that were last seen up to `segment` and have no entries. */
void series_table_sweep(SeriesTable *t, uint32_t segment);

/* ---- entries ---- */

typedef enum EntryKind { ENTRY_SAMPLE, ENTRY_EXEMPLAR, ENTRY_HISTOGRAM, ENTRY_MAX } EntryKind;

typedef struct Blob { /* a Histogram, or a 1.0 Exemplar */
    struct Blob *next;
    uint32_t len;
    char bytes[];
} Blob;

typedef struct Entry {
    SentSeries *series;
    int64_t t;
    union {
        double v;
        Blob *blob;
    };
    Blob *exemplars; /* of 2.0, where they go with a sample; newest first */
    uint32_t mark;
    EntryKind kind;
} Entry;

/* ---- marks.c: up to where all was sent ---- */

/* One for each record of the log with entries, in the log's order. */
typedef struct Mark {
    WalPlace begin;
    uint32_t open; /* entries that are not done with */
} Mark;

typedef struct Marks {
    Mark *items;                   /* a ring */
    uint32_t cap, head, len, base; /* base: number of the oldest */
} Marks;

bool marks_open(Marks *m, WalPlace begin, uint32_t *ret) NODISCARD;
void marks_hold(Marks *m, uint32_t mark);
void marks_release(Marks *m, uint32_t mark);
/* Where one would have to begin anew to send what is open; false: nothing is. */
bool marks_oldest(Marks *m, WalPlace *ret);
void marks_free(Marks *m);

/* ---- encode.c ---- */

typedef struct Encoder {
    Buf series, symbols, plain;
    uint32_t *slots; /* of symbols, by hash: number + 1 */
    StrView *texts;
    size_t n_slots, n_texts, cap_texts;
} Encoder;

void encoder_free(Encoder *e);
/* The entries as one message, compressed, in `out`. */
int encode_entries(Encoder *e, bool v2, const Entry *items, size_t n, Buf *out, Err *err) NODISCARD;
void encode_exemplar(const Exemplar *x, Buf *out);
void encode_metadata(const RemoteMetadata *m, Buf *out); /* adds to a 1.0 WriteRequest */
int compress_message(const Buf *plain, Buf *out, Err *err) NODISCARD;
uint8_t metadata_type_number(StrView type);

/* ---- a shard ---- */

typedef enum ShardState {
    SHARD_FREE,    /* a step may take entries into a message */
    SHARD_READY,   /* the message is built: the loop's from now on */
    SHARD_SENDING, /* or waiting to send it again */
    SHARD_STALE,   /* to be sent again, but samples may be too old by now: a step builds it anew */
    SHARD_DONE,    /* sent or refused: a step takes the entries back */
} ShardState;

typedef struct RemoteQueue RemoteQueue;

typedef struct Shard {
    RemoteQueue *queue;
    atomic_int state;
    /* Of the step. */
    VEC(Entry) entries;
    uint64_t base;      /* number of the first; 0 is none's */
    size_t taken;       /* of them are in the message */
    int64_t waiting_ns; /* since when the first of the others waits; 0: there is none */
    Buf body;
    unsigned counts[ENTRY_MAX]; /* in the message */
    int64_t newest;             /* sample in the message */
    /* Of the loop. */
    Fetch *fetch;
    Source *timer;
    int64_t backoff_ms, sent_ns;
    unsigned attempt;
} Shard;

void shard_retire(Shard *s);
void shard_free(Shard *s);

/* ---- a queue ---- */

enum DropReason { DROP_RELABEL, DROP_TOO_OLD, DROP_UNKNOWN, DROP_NHCB, DROP_REASON_MAX };

/* Numbers by kind; written by the step. */
enum { FEED_RECORDS_MAX = 11 }; /* one behind the last type of wal_record.h; 0: unknown ones */

typedef struct FeedStats {
    uint64_t in[ENTRY_MAX], dropped[ENTRY_MAX][DROP_REASON_MAX], pending[ENTRY_MAX];
    uint64_t enqueue_retries, read_failures, out_of_memory;
    uint64_t records[FEED_RECORDS_MAX], decode_failures; /* by wal_record.h's type */
    uint32_t segment;
    int64_t highest; /* time of a sample, ms */
    bool is_behind;  /* the log has more than was read */
    size_t n_series;
    WalTailStats tail;
} FeedStats;

enum { DURATION_BUCKETS_N = 15 };

/* Written by the loop. */
typedef struct SendStats {
    uint64_t sent[ENTRY_MAX + 1], failed[ENTRY_MAX + 1], retried[ENTRY_MAX + 1]; /* +1: metadata */
    uint64_t bytes, metadata_bytes;
    uint64_t buckets[DURATION_BUCKETS_N], batches;
    double seconds;
    int64_t highest_sent;
} SendStats;

typedef struct Rate { /* an exponentially weighted moving average */
    double rate;
    uint64_t last;
    bool begun;
} Rate;

/* Metadata of all targets on their way, one message after the other. */
typedef struct MetadataRound {
    Map seen; /* what is in already */
    VEC(Buf) messages;
    VEC(unsigned) counts;
    Buf plain;
    unsigned in_plain;
    size_t at;
    bool failed;
    Fetch *fetch;
    Source *retry;
    int64_t backoff_ms;
    unsigned attempt;
} MetadataRound;

struct RemoteQueue {
    Loop *loop;
    RemoteWrite *owner;
    Config *config; /* a reference, which `cfg` lives by */
    const ConfigRemoteWrite *cfg;
    Labels external; /* of the configuration */
    Buf identity;    /* the section's text and the external labels */
    char name[64], wal_dir[4096], place_path[4096];
    bool v2;

    /* Of the step. */
    WalTail *tail;
    SeriesTable series;
    Marks marks;
    Encoder encoder;
    Arena scratch;
    WalHandler handler;
    uint32_t mark; /* of the record at hand */
    bool has_mark;
    WalPlace record_begin, written; /* written: the place in the file */
    WalTailRecord record;
    bool unfinished;       /* memory ended in `record` */
    uint32_t calls, taken; /* of its entries: looked at in this go, done with */
    uint32_t swept, segment;
    int place_fd;
    FeedStats feed;
    bool more; /* a step ended before the log did */
    Err step_err;

    /* Of whoever has the step. */
    Shard *shards;
    unsigned n_shards, want_shards;

    /* Of the loop. */
    bool stepping, again, closing, drained;
    atomic_bool draining; /* also read by steps */
    unsigned in_flight;   /* shards that are sending: only those have a fetch or a timer */
    Source *tick, *reshard_timer, *metadata_timer;
    Fetcher *fetcher;
    FeedStats shown;
    SendStats sent;
    double desired_shards;
    Rate in, out, dropped, duration;
    int64_t last_sent_ns, logged_ns;
    uint64_t hidden; /* log lines left out */
    MetadataRound metadata;
};

/* feed.c: on the pool thread */
void queue_step(void *queue);
bool queue_is_empty(const RemoteQueue *q); /* nothing is left to send of what was read */
void queue_mark_done(RemoteQueue *q, const Entry *e);

/* shard.c: of the step */
int shard_build(Shard *s, bool again, Err *err) NODISCARD;
void queue_reshard(RemoteQueue *q);

/* queue.c: on the loop */
int queue_new(RemoteWrite *owner, Loop *l, const char *dir, Config *c, const ConfigRemoteWrite *cfg,
              RemoteQueue **ret, Err *err) NODISCARD;
RemoteQueue *queue_free(RemoteQueue *q); /* ends sending; a step under way is waited for */
void queue_free_parts(RemoteQueue *q);   /* those that steps work on */
void queue_kick(RemoteQueue *q);         /* a step soon */
bool queue_identity(const Config *c, const ConfigRemoteWrite *cfg, Buf *out) NODISCARD;
void queue_stepped(RemoteQueue *q);

/* send.c: on the loop */
void queue_send_ready(RemoteQueue *q);
int queue_post(RemoteQueue *q, StrView body, unsigned attempt, FetchDoneFn *done, void *ctx,
               Fetch **ret, Err *err) NODISCARD;
bool is_recoverable(const RemoteQueue *q, const FetchResult *r);
int64_t next_backoff(const RemoteQueue *q, const FetchResult *r, int64_t *backoff_ms);
void queue_complain(RemoteQueue *q, const char *what, const FetchResult *r);

/* metadata.c: on the loop */
int queue_metadata_start(RemoteQueue *q, Err *err) NODISCARD;
void queue_metadata_stop(RemoteQueue *q);

struct RemoteWrite {
    Loop *loop;
    RemoteWriteOptions opt;
    VEC(RemoteQueue *) queues;
    HttpDials dials; /* of all queues */
    Source *deadline;
    bool flushing;
};
void remote_write_check_flushed(RemoteWrite *w);
