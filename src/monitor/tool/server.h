/* server.h - requests to a Prometheus server, one after the other: each call blocks until the
 * answer is there. Verbs of `promtool query`, `check healthy`, `debug`. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "monitor/tool/tool.h"
#include "net/http.h"

typedef struct Server Server;

typedef struct ServerOptions {
    const char *url;            /* "http://host:9090/prefix"; without a scheme it is http */
    const char *http_config;    /* --http.config.file; NULL: none */
    const char *const *headers; /* "name=value" each, sent with every request */
    unsigned n_headers;
} ServerOptions;

enum {
    SERVER_HEADERS_MAX = 64,
    SERVER_REQUEST_HEADERS_MAX = 4, /* of one request */
    SERVER_BODY_MAX = 1024 * 1024 * 1024,
};

/* Connects to nothing yet. `o` must outlive the server. */
int server_new(const ServerOptions *o, Server **ret, Err *err) NODISCARD;
Server *server_free(Server *s); /* NULL is fine; always NULL */

typedef struct ServerRequest {
    StrView path; /* behind the server's own path: "/-/ready" */
    StrView form; /* "a=b&c=d"; empty: none */
    bool post;    /* the form is the body, else the query */
    StrView body; /* of a post without a form, with headers that say what it is */
    const HttpHeader *headers;
    unsigned n_headers;
    uint32_t timeout_ms;
} ServerRequest;

/* *ret_body is in `a`. An answer with any status is a success. ERR_SYS and others: none came; the
 * message begins with method and address. */
int server_request(Server *s, const ServerRequest *q, Arena *a, int *ret_status, StrView *ret_body,
                   Err *err) NODISCARD;

/* Appends "name=value" to a form, escaped. */
void form_add(Buf *form, StrView name, StrView value);
