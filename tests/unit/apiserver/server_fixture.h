/* server_fixture.h - a whole API server in the test's process: its store in a folder of its own,
 * its socket on this machine, and clients that ask over TLS as whomever the test says.
 *
 * Bodies are written with ' for ". Everything an answer consists of lives until server_stop(). */
#pragma once

#include "unit.h"

#include "apiserver/apiserver.h"
#include "codec/json.h"
#include "net/http_client.h"

enum { SERVER_PEERS_MAX = 24 };

typedef struct Server {
    Loop *loop;
    char dir[64];
    Store *store;
    ApiKinds *kinds;
    ApiServer *api;
    Metrics *metrics;
    ApiServerConfig cfg;
    Buf ca_cert, ca_key, token_key;
    Buf cert, key;                /* the server's, which is one for 127.0.0.1 */
    Buf client_key, kubelet_cert; /* all clients'; what the server shows to kubelets */
    struct {
        char *as;
        HttpClient *client;
    } peers[SERVER_PEERS_MAX]; /* connections, made when somebody first asks */
    Arena arena;               /* what answers consist of */
    const char *as;            /* who asks where the request does not say; NULL: an administrator */
} Server;

/* Opens store and server; `cfg` may be NULL, and what it leaves out is filled in. The store keeps
 * so many bytes of its past; 0: as many as usual. */
Server *server_start(const ApiServerConfig *cfg, size_t history_bytes);
/* Another server process on the same store: what was only in memory is gone. With the limit for the
 * arena of each request; 0: the usual one. */
void server_restart(Server *s, size_t arena_limit);
void server_stop(Server *s); /* proves that no source is left on the loop */
/* cmocka's, for a server that a group of tests shares: *state is it. */
int server_group_setup(void **state);
int server_group_teardown(void **state);

typedef struct Ask {
    const char *method, *path;
    const char *body;   /* ' becomes "; NULL: none */
    StrView raw;        /* the body as it is, instead */
    const char *type;   /* of the body; NULL: application/json */
    const char *accept; /* NULL: no such header */
    /* Who: "NAME" or "NAME/GROUP,GROUP" by a client certificate; "": nobody. NULL: Server.as */
    const char *as;
    const char *token;         /* instead of a certificate */
    const HttpHeader *headers; /* further ones */
    unsigned n_headers;
} Ask;

typedef struct Answer {
    int status; /* 0: the connection ended without an answer */
    const HttpHeader *headers;
    unsigned n_headers;
    StrView text;
    Value body; /* null where the text is not JSON */
    Arena *arena;
} Answer;

Answer server_ask(Server *s, const Ask *ask);
/* The usual requests, as JSON and as Server.as. */
Answer server_get(Server *s, const char *path);
Answer server_create(Server *s, const char *path, const char *body);
Answer server_update(Server *s, const char *path, const char *body);
/* `type`: "merge", "strategic", "json", or "apply" */
Answer server_patch(Server *s, const char *path, const char *type, const char *body);
Answer server_delete(Server *s, const char *path, const char *options); /* options may be NULL */
/* Creates what the test needs to be there: fails the test unless it is 201. */
Answer server_make(Server *s, const char *path, const char *body);

/* A header of the answer; SV_NULL when there is none. Names in lower case. */
StrView answer_header(const Answer *a, const char *name);
/* What lies behind "spec.containers.0.name", as JSON; a string without its quotes; "" when nothing
 * does. Keys with dots stand in brackets: "metadata.labels.[a.b/c]". */
const char *answer_at(const Answer *a, const char *path);
/* printf into the fixture's memory. */
const char *server_text(Server *s, const char *fmt, ...) PRINTF(2, 3);

/* The answer is a Status of this code, reason and sentence; a NULL is not looked at. */
#define assert_status(answer, code, reason, message)                                               \
    assert_status_at((answer), (code), (reason), (message), __FILE__, __LINE__)
void assert_status_at(const Answer *a, int code, const char *reason, const char *message,
                      const char *file, int line);
/* The answer has this code; shows its text otherwise. */
#define assert_code(answer, code) assert_code_at((answer), (code), __FILE__, __LINE__)
void assert_code_at(const Answer *a, int code, const char *file, int line);
#define assert_at(answer, path, want) assert_at_at((answer), (path), (want), __FILE__, __LINE__)
void assert_at_at(const Answer *a, const char *path, const char *want, const char *file, int line);

/* ---- watches ---- */

typedef struct ServerWatch ServerWatch;
/* Begins to watch; the answer's head has come when this returns. `accept` as in Ask. */
ServerWatch *server_watch(Server *s, const char *path);
ServerWatch *server_watch_form(Server *s, const char *path, const char *accept);
int server_watch_status(const ServerWatch *w);
/* The next event, waiting for it; an answer of status 0 at the stream's end. */
Answer server_watch_next(ServerWatch *w);
ServerWatch *server_watch_free(ServerWatch *w); /* always NULL */
