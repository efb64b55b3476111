/* query_internal.h - shared by the verbs of `promtool query`. */
#pragma once

#include "codec/value.h"
#include "monitor/model/labels.h"
#include "monitor/tool/internal.h"
#include "monitor/tool/query.h"

/* Asks the HTTP API. On success *ret is the member "data" of the answer, in `a`. Else the error is
 * promtool's: "bad_data: invalid parameter …", with what else is known in parentheses. */
int query_api(Server *s, StrView path, StrView form, bool post, Arena *a, Value *ret,
              Err *err) NODISCARD;

/* A result of a query as promtool prints it. ERR_PROTO: it is none. */
int result_print(const Value *data, bool json, Arena *a, Buf *out, Err *err) NODISCARD;
/* A list of label sets, and one of texts. */
int series_print(const Value *data, bool json, Arena *a, Buf *out, Err *err) NODISCARD;
int names_print(const Value *data, bool json, Buf *out, Err *err) NODISCARD;

/* The members of a JSON object as labels; views into the tree. */
int value_labels(const Value *v, Arena *a, Labels *ret, Err *err) NODISCARD;
/* A number that JSON has as a text ("1.5", "+Inf", "NaN") or as a number. */
double value_number(const Value *v);
