/* proto.h - the messages between stage0 and stage1: SOCK_SEQPACKET on stage1.sock in the pod's
 * directory, one message per packet, a fixed header and a body of wire.h. Both sides check version,
 * length and sender.
 *
 * Compatibility: PROTO_VERSION grows when a message changes its meaning; fields may be added at any
 * time. A side accepts PROTO_OLDEST and newer, and answers in the version of the request. */
#pragma once

#include "pod/pod.h"

#define PROTO_SOCKET "stage1.sock"

enum {
    PROTO_MAGIC = 0x6b31, /* "1k" */
    PROTO_VERSION = 1,
    PROTO_OLDEST = 1,
    PROTO_PACKET_MAX = 128 * 1024,
};

typedef enum ProtoType {
    /* requests, from stage0 */
    PROTO_ADD = 1, /* id; the spec is in apps/ID/spec */
    PROTO_START,
    PROTO_SIGNAL,
    PROTO_EXEC,
    PROTO_ATTACH,
    PROTO_RESIZE,
    PROTO_REMOVE,
    PROTO_STATUS,
    PROTO_ROTATE_LOG,
    PROTO_STOP,
    PROTO_REQUEST_MAX,
    /* from stage1 */
    PROTO_REPLY = 64,
    PROTO_APP,    /* an app's status changed */
    PROTO_EXECED, /* an exec ended */
} ProtoType;

typedef struct ProtoHeader {
    uint16_t magic, version, type, reserved;
    uint32_t request;
    uint32_t len; /* of the body */
} ProtoHeader;
_Static_assert(sizeof(ProtoHeader) == 16, "the header is part of the protocol");

/* One body for all requests: most use few of the fields. */
typedef struct ProtoRequest {
    const char *id;
    uint32_t signal;
    uint32_t cols, rows;
    uint32_t grace_ms;
    const char *app; /* of an exec */
    WireStrings argv, env;
    const char *cwd, *user;
    bool tty, use_stdin, use_stdout, use_stderr;
} ProtoRequest;

/* One body for replies and events. */
typedef struct ProtoReply {
    uint32_t code, sys; /* of the Err; 0: success */
    const char *text;
    const char *id;
    bool has_status;
    uint32_t state, pid, exit_code, signal;
    bool oom_killed;
    uint64_t started_ns, finished_ns;
    const char *reason, *message;
    uint32_t fds; /* bit n: the reply carries descriptor n */
} ProtoReply;

/* Appends header and body. */
void proto_encode_request(ProtoType type, uint32_t request, const ProtoRequest *r, Buf *out);
void proto_encode_reply(ProtoType type, uint32_t request, const ProtoReply *r, Buf *out);
/* Checks a packet; `body` then is what the next two take. ERR_PROTO. */
int proto_check(StrView packet, ProtoHeader *ret_header, StrView *ret_body, Err *err) NODISCARD;
int proto_decode_request(StrView body, Arena *a, ProtoRequest *ret, Err *err) NODISCARD;
int proto_decode_reply(StrView body, Arena *a, ProtoReply *ret, Err *err) NODISCARD;

/* A status as the fields of a reply, whose texts are the status', and back (copied, cut to fit). */
void proto_reply_of_status(const AppStatus *st, ProtoReply *ret);
void proto_status_of_reply(const ProtoReply *r, AppStatus *ret);

/* Sends one packet with up to POD_FDS_MAX descriptors. 0, -EAGAIN, or another negative errno. */
int proto_send(int sock, StrView packet, const int *fds, unsigned n_fds);
/* Receives one packet: its length, 0 at the end, -EAGAIN, -EMSGSIZE, or another negative errno.
 * Descriptors arrive close-on-exec; unused slots are -1. */
ssize_t proto_recv(int sock, void *buf, size_t size, int fds[POD_FDS_MAX]);

/* Fills an address that reaches `name` in the open directory `dir_fd`, however long its path is. */
struct sockaddr_un;
void proto_address(int dir_fd, const char *name, struct sockaddr_un *ret);
