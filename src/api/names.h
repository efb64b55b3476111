/* names.h - the name formats of the API, with Kubernetes' explanation of what is wrong. */
#pragma once

#include "base/str.h"

enum { NAME_FAULTS_MAX = 6, NAME_LABEL_MAX = 63, NAME_SUBDOMAIN_MAX = 253 };

/* Reasons why a text is not of a format; constant texts. None: it is. */
typedef struct NameFaults {
    StrView why[NAME_FAULTS_MAX];
    unsigned n;
} NameFaults;

typedef void NameCheck(StrView s, NameFaults *ret); /* appends to *ret */

NameCheck name_dns1123_label;     /* "web-1" */
NameCheck name_dns1123_subdomain; /* "web-1.example.com" */
NameCheck name_dns1035_label;     /* as a label, but starts with a letter */
NameCheck name_wildcard_domain;   /* "*.example.com" */
NameCheck name_label_key;         /* "example.com/name": also finalizers and condition types */
NameCheck name_label_value;
NameCheck name_port;       /* IANA service name */
NameCheck name_env;        /* printable ASCII without '=' */
NameCheck name_config_key; /* key of a ConfigMap or Secret */
NameCheck name_http_header;
NameCheck name_path_segment; /* any printable text that can be a step of a URL's path: RBAC names */

/* Whether the format accepts the text. */
static inline bool name_ok(NameCheck *check, StrView s)
{
    NameFaults f = { .n = 0 };

    check(s, &f);
    return f.n == 0;
}
