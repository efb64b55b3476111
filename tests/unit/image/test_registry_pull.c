/* test_registry_pull.c - pulls on a loop, from a server on the same: shared downloads, pulls that
 * are cancelled at any moment, clients that go. Unpacking needs root, and KNARR_UNPACK names the
 * unpacker. */
#include "unit.h"

#include <openssl/sha.h>
#include <stdio.h>

#include "base/encode.h"
#include "base/file.h"
#include "image/registry.h"
#include "net/http.h"
#include "tar_make.h"

enum { LAYER_SIZE = 700 * 1000, TURNS_MAX = 40 };

typedef struct Blob {
    Buf bytes;
    char digest[DIGEST_SIZE];
    unsigned asked;
} Blob;

typedef struct Fix {
    char dir[64];
    Loop *loop;
    HttpServer *server;
    ImageStore *store;
    RegistryConfig *config;
    Registry *registry;
    Blob manifest, image_config, layer;
    bool hold;    /* the second half of the layer is not sent */
    bool follows; /* the second pull has begun */
    HttpReq *held;
    char range[64]; /* of the latest request for the layer */
    unsigned pulled, failed, wanted;
    Err err;
    RegistryPull *victim;
    unsigned turns;
    bool free_inside;
} Fix;

static void blob_end(Blob *b)
{
    StrView data = buf_view(&b->bytes);
    uint8_t sum[32];

    SHA256((const uint8_t *)data.ptr, data.len, sum);
    memcpy(b->digest, "sha256:", 7);
    hex_encode(sum, 32, b->digest + 7);
    b->digest[DIGEST_SIZE - 1] = 0;
}

static void make_image(Fix *f)
{
    char *text = malloc(LAYER_SIZE + 1);

    assert_non_null(text);
    for (unsigned i = 0; i < LAYER_SIZE; i++)
        text[i] = (char)('a' + i % 23);
    text[LAYER_SIZE] = 0;
    const TarEntry files[] = { { "hello", '-', "hello" }, { "big", '-', text } };
    tar_make(&f->layer.bytes, files, 2, NULL);
    free(text);
    blob_end(&f->layer);
    buf_printf(&f->image_config.bytes,
               "{\"os\":\"linux\",\"architecture\":\"amd64\",\"rootfs\":{\"diff_ids\":[\"%s\"]}}",
               f->layer.digest);
    blob_end(&f->image_config);
    buf_printf(&f->manifest.bytes,
               "{\"schemaVersion\":2,\"config\":{\"digest\":\"%s\",\"size\":%zu},\"layers\":[{"
               "\"digest\":\"%s\",\"size\":%zu}]}",
               f->image_config.digest, f->image_config.bytes.len, f->layer.digest,
               f->layer.bytes.len);
    blob_end(&f->manifest);
}

/* ---- the server ---- */

static void gone(void *ctx)
{
    ((Fix *)ctx)->held = NULL;
}

static void send_layer(Fix *f, HttpReq *req)
{
    StrView range = http_header(req, SV("range")), data = buf_view(&f->layer.bytes);
    uint64_t from = 0;
    char length[32], content[80];

    sv_copy_cstr(range.ptr ? range : SV(""), f->range, sizeof f->range);
    if (range.len) {
        StrView n = sv_skip(range, 6);
        assert_int_equal(sv_to_u64(sv_head(n, n.len - 1), &from), 0);
    }
    snprintf(length, sizeof length, "%zu", data.len - (size_t)from);
    snprintf(content, sizeof content, "bytes %llu-%zu/%zu", (unsigned long long)from, data.len - 1,
             data.len);
    http_set_header(req, SV("content-length"), sv_cstr(length), NULL);
    if (range.len)
        http_set_header(req, SV("content-range"), sv_cstr(content), NULL);
    assert_int_equal(http_stream_start(req, range.len ? 206 : 200, SV("x/y"), NULL), 0);
    data = sv_skip(data, (size_t)from);
    if (f->hold) {
        http_stream_write(req, data.ptr, data.len / 2, NULL);
        http_on_close(req, gone, f);
        f->held = req;
        return;
    }
    http_stream_write(req, data.ptr, data.len, NULL);
    http_stream_end(req);
}

static void handler(void *ctx, HttpReq *req)
{
    Fix *f = ctx;
    Blob *const blobs[] = { &f->manifest, &f->image_config, &f->layer };
    ssize_t slash = sv_rfind_char(req->path, '/');
    StrView last = sv_skip(req->path, (size_t)slash + 1);

    for (unsigned i = 0; i < ARRAY_SIZE(blobs); i++) {
        if (!sv_eq(last, sv_cstr(blobs[i]->digest)) && !(i == 0 && sv_eq(last, SV("1"))))
            continue;
        blobs[i]->asked++;
        if (i == 2)
            send_layer(f, req);
        else
            http_respond(req, 200, SV("application/json"), buf_view(&blobs[i]->bytes));
        return;
    }
    http_respond(req, 404, SV("application/json"), SV("{}"));
}

/* ---- the fixture ---- */

static int setup(void **state)
{
    ImageStoreOptions opt = { .dir = "store", .unpacker = getenv("KNARR_UNPACK") };
    Fix *f = calloc(1, sizeof *f);
    HttpServerConfig cfg = { .handler = handler, .ctx = f, .body_max = 1024 };
    char text[200];

    strcpy(f->dir, "/tmp/knarr-pull-XXXXXX");
    if (!mkdtemp(f->dir) || chdir(f->dir) < 0 || image_store_open(&opt, &f->store, &f->err) < 0 ||
        loop_new(&f->loop, NULL) < 0 ||
        http_server_new(f->loop, "127.0.0.1:0", &cfg, &f->server, NULL) < 0)
        return -1;
    snprintf(text, sizeof text, "mirrors: {'127.0.0.1:%u': {endpoint: ['http://127.0.0.1:%u']}}",
             http_server_port(f->server), http_server_port(f->server));
    if (registry_config_parse(sv_cstr(text), "test", &f->config, &f->err) < 0 ||
        registry_new(f->loop, f->store, f->config, &f->registry, &f->err) < 0)
        return -1;
    make_image(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;

    registry_free(f->registry, NULL, NULL);
    http_server_free(f->server);
    loop_free(f->loop);
    registry_config_free(f->config);
    image_store_free(f->store);
    buf_free(&f->manifest.bytes);
    buf_free(&f->image_config.bytes);
    buf_free(&f->layer.bytes);
    if (chdir("/") < 0 || rm_rf(AT_FDCWD, f->dir) < 0)
        return -1;
    free(f);
    return 0;
}

static void on_pulled(void *ctx, const RegistryPulled *pulled, const Err *err)
{
    Fix *f = ctx;

    if (err)
        f->err = *err;
    else
        assert_string_equal(pulled->manifest.text, f->manifest.digest);
    f->pulled += !err;
    f->failed += err != NULL;
    if (f->free_inside)
        f->registry = registry_free(f->registry, NULL, NULL);
    if (f->pulled + f->failed >= f->wanted)
        loop_stop(f->loop);
}

static RegistryPull *pull(Fix *f, const char *tag)
{
    RegistryPullSpec spec = { .done = on_pulled, .ctx = f };
    RegistryPull *p;
    char name[100];

    snprintf(name, sizeof name, "127.0.0.1:%u/app:%s", http_server_port(f->server), tag);
    assert_int_equal(image_ref_parse(sv_cstr(name), &spec.ref, NULL), 0);
    if (registry_pull(f->registry, &spec, &p, &f->err) < 0)
        fail_msg("%s", f->err.msg);
    return p;
}

static void run(Fix *f, unsigned wanted)
{
    f->pulled = f->failed = 0;
    f->wanted = wanted;
    assert_int_equal(loop_run(f->loop, NULL), 0);
}

static void assert_pulled(Fix *f, unsigned n)
{
    if (f->failed || f->pulled != n)
        fail_msg("%u pulled, %u failed: %s", f->pulled, f->failed, f->err.msg);
}

/* ---- tests ---- */

static void test_pulls_share_a_download(void **state)
{
    Fix *f = *state;

    pull(f, "1");
    pull(f, "1");
    pull(f, "1");
    run(f, 3);
    assert_pulled(f, 3);
    assert_int_equal(f->layer.asked, 1);
    assert_int_equal(f->image_config.asked, 1);
    assert_int_equal(f->manifest.asked, 3);
}

/* ---- who may have what is there ---- */

typedef struct Keeper {
    bool lets;
    unsigned admitted, freed;
} Keeper;

static bool keeper_lets(void *ctx, const Digest *d)
{
    return ((Keeper *)ctx)->lets;
}
static int keeper_admits(void *ctx, const Digest *config, Err *err)
{
    ((Keeper *)ctx)->admitted++;
    return 0;
}
static void keeper_freed(void *ctx)
{
    ((Keeper *)ctx)->freed++;
}

static void guarded_pull(Fix *f, Keeper *k, const char *trust)
{
    RegistryPullSpec spec = { .done = on_pulled, .ctx = f };
    RegistryPull *p;
    char name[100];

    spec.guard = (RegistryGuard){ sv_cstr(trust), keeper_lets, keeper_admits, keeper_freed, k };
    snprintf(name, sizeof name, "127.0.0.1:%u/app:1", http_server_port(f->server));
    assert_int_equal(image_ref_parse(sv_cstr(name), &spec.ref, NULL), 0);
    assert_int_equal(registry_pull(f->registry, &spec, &p, &f->err), 0);
}

static void test_what_a_guard_keeps_comes_from_the_registry_again(void **state)
{
    Fix *f = *state;
    Keeper k = { .lets = false };

    pull(f, "1");
    run(f, 1);
    assert_pulled(f, 1);
    assert_int_equal(f->layer.asked, 1);
    guarded_pull(f, &k, "a");
    guarded_pull(f, &k, "a");
    run(f, 2);
    assert_pulled(f, 2);
    assert_int_equal(f->layer.asked, 2); /* once for both */
    assert_int_equal(f->image_config.asked, 2);
    guarded_pull(f, &k, "a");
    guarded_pull(f, &k, "b");
    run(f, 2);
    assert_pulled(f, 2);
    assert_int_equal(f->layer.asked, 4); /* each its own */
    k.lets = true;
    guarded_pull(f, &k, "a");
    run(f, 1);
    assert_pulled(f, 1);
    assert_int_equal(f->layer.asked, 4);
    assert_int_equal(k.admitted, 5);
    assert_int_equal(k.freed, 5);
}

static bool part_has_bytes(const Fix *f)
{
    char name[120];
    struct stat st;

    snprintf(name, sizeof name, "store/tmp/part-%s", f->layer.digest + 7);
    return stat(name, &st) == 0 && st.st_size > 0;
}

/* Once the first one has half of the layer, a second one comes; once that knows what it wants, the
 * first one goes. */
static void cancel_victim(void *ctx)
{
    Fix *f = ctx;

    if (f->held && !f->follows) { /* behind the one that downloads, so that it waits for that */
        f->follows = true;
        pull(f, "1");
        return;
    }
    if (f->manifest.asked < 2 || !part_has_bytes(f))
        return;
    f->victim = registry_pull_cancel(f->victim);
    f->hold = false;
    loop_stop(f->loop);
}

static void test_who_waits_goes_on_where_the_first_one_left(void **state)
{
    Fix *f = *state;
    Source *timer;

    f->hold = true;
    f->victim = pull(f, "1");
    assert_int_equal(loop_add_timer(f->loop, 100, 100, cancel_victim, f, &timer, NULL), 0);
    run(f, 1);
    assert_null(f->victim);
    source_free(timer);
    assert_int_equal(f->layer.asked, 1);
    run(f, 1);
    assert_pulled(f, 1);
    assert_int_equal(f->layer.asked, 2);
    assert_true(sv_starts(sv_cstr(f->range), SV("bytes=")));
}

static void test_a_client_may_go_inside_done(void **state)
{
    Fix *f = *state;

    f->free_inside = true;
    pull(f, "1");
    pull(f, "none");
    run(f, 1);
    assert_null(f->registry);
    assert_int_equal(f->pulled + f->failed, 1);
}

static void one_turn(void *ctx)
{
    Fix *f = ctx;

    if (f->turns-- > 0)
        return;
    f->victim = registry_pull_cancel(f->victim);
    loop_stop(f->loop);
}

static void do_clear(void *ctx)
{
    Fix *f = ctx;

    rm_rf(AT_FDCWD, "store/index.json");
    if (image_gc(f->store, NULL, &f->err) < 0)
        f->failed++;
}

static void cleared(void *ctx)
{
    loop_stop(((Fix *)ctx)->loop);
}

/* In the pool, as it waits for what a cancelled pull still does there. */
static void clear_store(Fix *f)
{
    assert_int_equal(loop_work(f->loop, do_clear, cleared, f, NULL), 0);
    run(f, 0);
    assert_int_equal(f->failed, 0);
}

/* At whichever moment it is cancelled, nothing is told, nothing is left that another pull minds. */
static void test_cancelled_at_any_moment(void **state)
{
    Fix *f = *state;

    for (unsigned i = 0; i < TURNS_MAX; i++) {
        Source *timer;

        clear_store(f);
        f->turns = i / 2;
        f->victim = pull(f, "1");
        assert_int_equal(loop_add_timer(f->loop, 0, 1, one_turn, f, &timer, NULL), 0);
        run(f, 1);
        source_free(timer);
        if (i % 2) { /* the client as well */
            registry_free(f->registry, NULL, NULL);
            assert_int_equal(registry_new(f->loop, f->store, f->config, &f->registry, NULL), 0);
        }
        if (f->pulled)
            break; /* it was quicker */
        assert_int_equal(f->failed, 0);
        pull(f, "1");
        run(f, 1);
        assert_pulled(f, 1);
    }
}

static void test_errors_have_codes(void **state)
{
    Fix *f = *state;

    pull(f, "none");
    run(f, 1);
    assert_int_equal(f->failed, 1);
    assert_int_equal(f->err.code, ERR_NOT_FOUND);
    http_server_free(f->server);
    f->server = NULL;
    RegistryPullSpec spec = { .done = on_pulled, .ctx = f };
    RegistryPull *p;
    assert_int_equal(image_ref_parse(SV("127.0.0.1:1/app"), &spec.ref, NULL), 0);
    assert_int_equal(registry_pull(f->registry, &spec, &p, NULL), 0);
    run(f, 1);
    if (f->err.code != ERR_SYS && f->err.code != ERR_CLOSED)
        fail_msg("%s: %s", err_code_name(f->err.code), f->err.msg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pulls_share_a_download, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_a_guard_keeps_comes_from_the_registry_again,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_waits_goes_on_where_the_first_one_left, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_client_may_go_inside_done, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_at_any_moment, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_have_codes, setup, teardown),
    };
    if (geteuid() != 0)
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
