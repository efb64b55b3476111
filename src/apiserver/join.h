/* join.h - a connection of a client and one of a backend, joined after an upgrade. */
#pragma once

#include "apiserver/call.h"
#include "net/http_client.h"

/* What of the client's headers an upgrade carries on, written as lines: the upgrade itself, but no
 * credentials, and nothing that is between the client and this server. False: a value is no line.
 */
bool join_headers(const HttpReq *req, Buf *out);

/* Sends the head of an upgrade to the backend. Once that has switched, both byte streams are
 * joined; any other answer goes to the client as an answer. The client object is the call's own
 * when `owned`, and is freed. Answers itself in any case. */
void join_open(ApiCall *x, HttpClient *client, bool owned, StrView head);
