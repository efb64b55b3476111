/* tls_internal.h - from a TlsContext to OpenSSL's objects; for net/stream.c only. */
#pragma once

#include <openssl/ssl.h>

#include "net/tls.h"

/* A new connection state on descriptor `fd` (stays the caller's). For clients `server_name` is what
 * the certificate must be for. The context must outlive *ret_ssl. */
int tls_ssl_new(TlsContext *c, int fd, const char *server_name, bool h2, SSL **ret_ssl,
                Err *err) NODISCARD;

/* Fills *peer from the connection's verified certificate; texts are copied into the arena. */
int tls_peer_fill(SSL *ssl, Arena *a, TlsPeer *peer, Err *err) NODISCARD;

/* An Err from OpenSSL's queue (which it empties), or from errno where the queue is empty. */
int tls_fail(SSL *ssl, int ret, Err *err, const char *what);
