/* html_links.h - links of a proxied page lead back through the proxy. Bytes in, bytes out. */
#pragma once

#include "base/buf.h"

/* Where the page is, for the world and for the server that wrote it. Views stay the owner's. */
typedef struct LinkMap {
    StrView
        prefix;    /* "/api/v1/namespaces/NS/pods/NAME/proxy": in front of the server's own paths */
    StrView host;  /* the server, as "10.1.2.3:80" */
    StrView asked; /* the Host that the client asked for */
} LinkMap;

/* Appends the link as it is seen through the proxy, as kube-apiserver's proxy rewrites it: paths
 * from the root, with or without one of the two hosts; all others stay as they are. */
void link_map(const LinkMap *m, StrView link, Buf *out);

enum { HTML_TAG_MAX = 16 * 1024 }; /* bytes of a tag; a longer one passes as it is */

typedef struct HtmlLinks {
    const LinkMap *map;
    Buf tag;          /* what has been seen of a tag, comment end or end of raw text */
    StrView raw;      /* the element whose text is no markup; empty: none */
    unsigned char at; /* state of the tokenizer */
    char quote;
} HtmlLinks;

/* Zero but for `map` at the start. Appends what can be told already; html_links_end() the rest. */
void html_links_feed(HtmlLinks *h, StrView in, Buf *out);
void html_links_end(HtmlLinks *h, Buf *out);
void html_links_free(HtmlLinks *h);
