/* options.c - see options.h. */
#include "apiserver/options.h"

#include "api/managers.h"
#include "apiserver/respond.h"

/* ---- writes ---- */

void options_check_dry_run(const Value *list, ApiErrors *errors)
{
    static const StrView allowed[] = { SV_INIT("All") };
    ApiPath path = API_FIELD(NULL, "dryRun");
    value_list_foreach (it, list) {
        if (!sv_eq(value_str(it), allowed[0])) {
            api_not_supported(errors, &path, *list, allowed, ARRAY_SIZE(allowed));
            return;
        }
    }
}

static void read_dry_run(ApiCall *x, ApiErrors *errors)
{
    Value list = value_list();
    StrView rest = x->req->query, name, value;
    while (http_query_next(x->arena, &rest, &name, &value))
        if (sv_eq(name, SV("dryRun")))
            value_push(x->arena, &list, value_sv(value));
    options_check_dry_run(&list, errors);
    x->dry_run = list.len > 0;
}

static void check_manager(StrView manager, ApiErrors *errors)
{
    ApiPath path = API_FIELD(NULL, "fieldManager");
    if (manager.len > MANAGER_NAME_MAX)
        api_too_long(errors, &path, MANAGER_NAME_MAX);
    for (size_t i = 0; i < manager.len; i++) {
        unsigned char c = (unsigned char)manager.ptr[i];
        if (c < ' ' || c == 0x7f) {
            api_invalid(errors, &path, value_sv(manager),
                        "invalid character U+%04X (at position %zu)", c, i);
            return;
        }
    }
}

static void check_validation(StrView mode, ApiErrors *errors)
{
    static const StrView allowed[] = { SV_INIT(""), SV_INIT("Ignore"), SV_INIT("Strict"),
                                       SV_INIT("Warn") };
    ApiPath path = API_FIELD(NULL, "fieldValidation");
    for (size_t i = 0; i < ARRAY_SIZE(allowed); i++)
        if (sv_eq(mode, allowed[i]))
            return;
    api_not_supported(errors, &path, value_sv(sv_head(mode, 64)), allowed, ARRAY_SIZE(allowed));
}

/* What is for patches alone: an apply has to say who applies, and no other may be forced. */
static void check_patch(ApiCall *x, StrView manager, ApiErrors *errors)
{
    StrView type, params, force;
    ApiPath force_path = API_FIELD(NULL, "force"), manager_path = API_FIELD(NULL, "fieldManager");
    sv_cut(http_header(x->req, SV("content-type")), ';', &type, &params);
    bool applies = sv_eq(type, SV("application/apply-patch+yaml"));
    if (!applies && http_query(x->req, SV("force"), &force))
        api_forbidden(errors, &force_path, "may not be specified for non-apply patch");
    if (applies && !manager.len)
        api_required(errors, &manager_path, "is required for apply patch");
}

bool options_of_write(ApiCall *x)
{
    static const struct {
        StrView verb;
        const char *kind;
    } kinds[] = { { SV_INIT("create"), "CreateOptions" },
                  { SV_INIT("update"), "UpdateOptions" },
                  { SV_INIT("patch"), "PatchOptions" },
                  { SV_INIT("delete"), "DeleteOptions" },
                  { SV_INIT("deletecollection"), "DeleteOptions" } };
    size_t i = 0;
    while (i < ARRAY_SIZE(kinds) && !sv_eq(kinds[i].verb, x->verb))
        i++;
    if (i == ARRAY_SIZE(kinds))
        return true;
    ApiErrors errors = { .arena = x->arena };
    StrView manager = SV_NULL, validation = SV_NULL;
    bool deletes = sv_starts(x->verb, SV("delete"));
    http_query(x->req, SV("fieldManager"), &manager);
    http_query(x->req, SV("fieldValidation"), &validation);
    if (sv_eq(x->verb, SV("patch")))
        check_patch(x, manager, &errors);
    if (!deletes)
        check_manager(manager, &errors);
    read_dry_run(x, &errors);
    if (!deletes)
        check_validation(validation, &errors);
    if (!errors.len)
        return true;
    respond_invalid_options(x, kinds[i].kind, &errors);
    return false;
}

/* ---- lists and watches ---- */

static void check_list_match(StrView match, StrView rev, bool goes_on, ApiErrors *errors)
{
    static const StrView allowed[] = { SV_INIT("Exact"), SV_INIT("NotOlderThan"), SV_INIT("") };
    ApiPath path = API_FIELD(NULL, "resourceVersionMatch");
    bool exact = sv_eq(match, allowed[0]);
    if (!rev.len)
        api_forbidden(errors, &path,
                      "resourceVersionMatch is forbidden unless resourceVersion is provided");
    if (goes_on)
        api_forbidden(errors, &path, "resourceVersionMatch is forbidden when continue is provided");
    if (!exact && !sv_eq(match, allowed[1]))
        api_not_supported(errors, &path, value_sv(sv_head(match, 64)), allowed,
                          ARRAY_SIZE(allowed));
    if (exact && sv_eq(rev, SV("0")))
        api_forbidden(errors, &path,
                      "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
}

static void check_watch_match(StrView match, bool goes_on, bool streams, ApiErrors *errors)
{
    static const StrView allowed[] = { SV_INIT("NotOlderThan") };
    ApiPath path = API_FIELD(NULL, "resourceVersionMatch");
    bool fits = sv_eq(match, allowed[0]);
    if (streams && !fits)
        api_forbidden(errors, &path,
                      "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (!match.len)
        return;
    if (!streams)
        api_forbidden(
            errors, &path,
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
    if (!fits)
        api_not_supported(errors, &path, value_sv(sv_head(match, 64)), allowed,
                          ARRAY_SIZE(allowed));
    if (goes_on)
        api_forbidden(errors, &path, "resourceVersionMatch is forbidden when continue is provided");
}

bool options_of_list(ApiCall *x)
{
    ApiErrors errors = { .arena = x->arena };
    ApiPath initial = API_FIELD(NULL, "sendInitialEvents");
    StrView match = SV_NULL, rev = SV_NULL, token = SV_NULL, streams;
    http_query(x->req, SV("resourceVersionMatch"), &match);
    http_query(x->req, SV("resourceVersion"), &rev);
    http_query(x->req, SV("continue"), &token);
    bool streamed = http_query(x->req, SV("sendInitialEvents"), &streams);
    if (sv_eq(x->verb, SV("watch")))
        check_watch_match(match, token.len > 0, streamed, &errors);
    else {
        if (match.len)
            check_list_match(match, rev, token.len > 0, &errors);
        if (streamed)
            api_forbidden(&errors, &initial, "sendInitialEvents is forbidden for list");
    }
    if (!errors.len)
        return true;
    respond_invalid_options(x, "ListOptions", &errors);
    return false;
}

bool options_of_table(ApiCall *x)
{
    static const StrView known[] = { SV_INIT("Metadata"), SV_INIT("Object"), SV_INIT("None"),
                                     SV_INIT("") };
    StrView text;
    if (x->form != OUTPUT_TABLE || !http_query(x->req, SV("includeObject"), &text))
        return true;
    for (size_t i = 0; i < ARRAY_SIZE(known); i++)
        if (sv_eq(text, known[i]))
            return true;
    respond_status(x, REASON_BAD_REQUEST,
                   "Unable to convert to Table as requested: includeObject: Invalid value: "
                   "\"%.*s\": must be 'Metadata', 'Object', 'None', or empty",
                   SV_FMT(sv_head(text, 64)));
    return false;
}
