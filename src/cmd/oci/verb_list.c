/* verb_list.c - list and state. */
#include <stdio.h>
#include <string.h>

#include "cmd/oci/verbs.h"
#include "codec/json.h"

static void state_freep(OciState **s)
{
    oci_state_free(*s);
}

int verb_state(const OciGlobal *g, int argc, char **argv)
{
    static const OciVerb verb = { .name = "state",
                                  .usage = "output the state of a container",
                                  .args = "<container-id>",
                                  .args_min = 1,
                                  .args_max = 1 };
    _cleanup_(state_freep) OciState *s = NULL;
    _cleanup_buf_ Buf out = BUF_INIT;
    Err err = { 0 };
    int n, r = oci_flags_parse(g, &verb, argc, argv, &n);

    if (r != OCI_FLAGS_OK)
        return r;
    if (oci_state_load(g->root, argv[1], false, &s, &err) < 0)
        return oci_fail(g, 1, &err);
    oci_state_print(s, true, &out);
    if (!buf_cstr(&out)) {
        err_nomem(&err);
        return oci_fail(g, 1, &err);
    }
    fputs(out.ptr, stdout);
    return fflush(stdout) == 0 ? 0 : 1;
}

typedef struct Row {
    char *columns[6];
} Row;

typedef struct Table {
    Row *rows;
    unsigned len;
    size_t widths[6];
} Table;

static void text_of(const Value *doc, StrView name, char **ret)
{
    const Value *v = value_get(doc, name);
    char number[24];

    snprintf(number, sizeof number, "%lld", (long long)value_int_or(v, 0));
    *ret = value_is(v, VALUE_INT)
               ? strdup(number)
               : strndup(value_str(v).ptr ? value_str(v).ptr : "", value_str(v).len);
}

static void add_row(Table *t, const Value *doc)
{
    static const StrView names[] = { SV_INIT("id"),     SV_INIT("pid"),     SV_INIT("status"),
                                     SV_INIT("bundle"), SV_INIT("created"), SV_INIT("owner") };
    Row *row = &t->rows[t->len++];

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        text_of(doc, names[i], &row->columns[i]);
        if (row->columns[i])
            t->widths[i] = MAX(t->widths[i], strlen(row->columns[i]));
    }
}

/* As Go's tabwriter pads: cells of at least 12, with 3 blanks behind. */
static void print_cells(const Table *t, char *const cells[6])
{
    for (int i = 0; i < 5; i++)
        printf("%-*s", (int)MAX(t->widths[i] + 3, (size_t)12), cells[i] ? cells[i] : "");
    printf("%s\n", cells[5] ? cells[5] : "");
}

static void print_table(Table *t)
{
    static char *const head[6] = { (char *)"ID",     (char *)"PID",     (char *)"STATUS",
                                   (char *)"BUNDLE", (char *)"CREATED", (char *)"OWNER" };

    for (int i = 0; i < 6; i++)
        t->widths[i] = MAX(t->widths[i], strlen(head[i]));
    print_cells(t, head);
    for (unsigned r = 0; r < t->len; r++)
        print_cells(t, t->rows[r].columns);
}

static void table_end(Table *t)
{
    for (unsigned r = 0; r < t->len; r++)
        for (int i = 0; i < 6; i++)
            free(t->rows[r].columns[i]);
    free(t->rows);
}

/* What cannot be read costs itself only. */
static int collect(const OciGlobal *g, const OciTexts *ids, Arena *a, Value *list, Err *err)
{
    for (uint32_t i = 0; i < ids->len; i++) {
        _cleanup_(state_freep) OciState *s = NULL;
        Buf text = BUF_INIT;
        Value doc;
        StrView kept;
        int r = oci_state_load(g->root, ids->items[i], false, &s, err);

        if (r < 0) {
            fprintf(stderr, "load container %s: %s\n", ids->items[i], err->msg);
            continue;
        }
        oci_state_print(s, true, &text);
        kept = arena_sv(a, buf_view(&text));
        buf_free(&text);
        if (!kept.ptr || json_decode(kept, a, NULL, &doc, err) < 0 || !value_push(a, list, doc))
            return err_nomem(err);
    }
    return 0;
}

static int print_list(const char *format, bool quiet, const Value *list, Err *err)
{
    _cleanup_buf_ Buf out = BUF_INIT;
    Table t = { .rows = calloc(value_len(list) + 1, sizeof *t.rows) };

    if (!t.rows)
        return err_nomem(err);
    value_list_foreach (doc, list) {
        add_row(&t, doc);
        if (quiet)
            printf("%.*s\n", SV_FMT(value_str(value_get(doc, SV("id")))));
    }
    if (!quiet && !strcmp(format, "table")) {
        print_table(&t);
    } else if (!quiet) {
        json_encode(list, &out);
        puts(value_len(list) && buf_cstr(&out) ? out.ptr : "null");
    }
    table_end(&t);
    return fflush(stdout) == 0 ? 0 : err_errno(err, "write");
}

int verb_list(const OciGlobal *g, int argc, char **argv)
{
    const char *format = "table";
    bool quiet = false;
    const OciFlag flags[] = {
        { "format", 'f', OCI_FLAG_TEXT, &format, NULL, "table or json" },
        { "quiet", 'q', OCI_FLAG_ON, &quiet, NULL, "ids only" },
    };
    const OciVerb verb = { .name = "list",
                           .usage = "lists containers of the given root",
                           .args = "",
                           .flags = flags,
                           .flags_len = ARRAY_SIZE(flags) };
    _cleanup_arena_ Arena a;
    Value list = value_list();
    OciTexts ids;
    Err err = { 0 };
    int n, r;

    arena_init(&a, 0);
    if ((r = oci_flags_parse(g, &verb, argc, argv, &n)) != OCI_FLAGS_OK)
        return r;
    if (strcmp(format, "table") != 0 && strcmp(format, "json") != 0) {
        err_set(&err, ERR_INVALID, 0, "invalid format option");
        return oci_fail(g, 1, &err);
    }
    if (oci_state_ids(g->root, &a, &ids, &err) < 0 || collect(g, &ids, &a, &list, &err) < 0 ||
        print_list(format, quiet, &list, &err) < 0)
        return oci_fail(g, 1, &err);
    return 0;
}
