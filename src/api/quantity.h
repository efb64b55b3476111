/* quantity.h - resource quantities ("100m", "1.5Gi", "2e3"), exact as Kubernetes'
 * resource.Quantity.
 *
 * A quantity is a whole number of nanos (10^-9) in 128 bits: finer input is rounded up, away from
 * zero, and what is over 2^63-1 is cut to it, as Kubernetes does. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/value.h"

typedef enum ApiQuantityFormat {
    API_QUANTITY_DECIMAL_SI, /* n u m k M G T P E */
    API_QUANTITY_BINARY_SI,  /* Ki Mi Gi Ti Pi Ei */
    API_QUANTITY_EXPONENT,   /* e3, e-3 */
} ApiQuantityFormat;

typedef struct ApiQuantity {
    __int128 nano;
    ApiQuantityFormat format;
} ApiQuantity;

enum { API_QUANTITY_TEXT_MAX = 40 };

/* Fails with ERR_INVALID and Kubernetes' sentence. */
int api_quantity_parse(StrView text, ApiQuantity *ret, Err *err) NODISCARD;
/* The same from a document, where a number is allowed too; absent (NULL) is zero. */
int api_quantity_from(const Value *v, ApiQuantity *ret, Err *err) NODISCARD;

/* The canonical text: largest suffix that loses nothing. Terminated; returns its length. */
size_t api_quantity_format(const ApiQuantity *q, char buf[static API_QUANTITY_TEXT_MAX]);
StrView api_quantity_text(const ApiQuantity *q, Arena *a); /* SV_NULL: arena exhausted */

int api_quantity_cmp(const ApiQuantity *a, const ApiQuantity *b); /* <0, 0, >0 */
void api_quantity_add(ApiQuantity *to, const ApiQuantity *q);     /* a zero `to` takes q's format */
void api_quantity_sub(ApiQuantity *from, const ApiQuantity *q);

/* Rounded up, away from zero; cut to int64. Units, and thousandths of units. */
int64_t api_quantity_value(const ApiQuantity *q);
int64_t api_quantity_milli(const ApiQuantity *q);
ApiQuantity api_quantity_of(int64_t value, ApiQuantityFormat format);
