/* labels_json.c - labels as a JSON object. */
#include "codec/json.h"
#include "monitor/model/labels.h"

void labels_json(Labels l, Buf *out)
{
    buf_putc(out, '{');
    for (unsigned i = 0; i < l.len; i++) {
        if (i)
            buf_putc(out, ',');
        json_encode_string(l.items[i].name, out);
        buf_putc(out, ':');
        json_encode_string(l.items[i].value, out);
    }
    buf_putc(out, '}');
}
