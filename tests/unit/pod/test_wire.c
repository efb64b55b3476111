/* test_wire.c - specs and messages survive the wire, and damaged ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "pod/proto.h"

static const char *argv_items[] = { "sh", "-c", "", NULL };

static void sample(AppSpec *a)
{
    static OciMount mounts[] = { { "/etc/hosts", "/p/hosts", NULL, NULL, OCI_MOUNT_RO, 0 },
                                 { "/d", "/v", NULL, NULL, 0, OCI_PROP_SHARED } };
    static OciRlimit limits[] = { { 7, 1024, UINT64_MAX } };
    static uint32_t groups[] = { 1, 2, 3 };

    *a = (AppSpec){ .id = "app-1",
                    .argv = { argv_items, 3 },
                    .cwd = "/w",
                    .caps = UINT64_C(1) << 40,
                    .oom_score_adj = -997,
                    .tty = true,
                    .seccomp = SV("12345678"),
                    .groups = { groups, 3 },
                    .limits = { .memory_max = 1 << 20, .cpuset_cpus = "0-1" } };
    a->mounts.items = mounts;
    a->mounts.len = 2;
    a->rlimits.items = limits;
    a->rlimits.len = 1;
}

static void test_app_spec_round_trip(void **state)
{
    _cleanup_buf_ Buf bytes = BUF_INIT;
    AppSpec a, b;
    Arena arena;
    Err err = { 0 };

    arena_init(&arena, 0);
    sample(&a);
    app_spec_encode(&a, &bytes);
    if (app_spec_decode(buf_view(&bytes), &arena, &b, &err) < 0)
        fail_msg("%s", err.msg);
    assert_string_equal(b.id, "app-1");
    assert_int_equal(b.argv.len, 3);
    assert_string_equal(b.argv.items[2], "");
    assert_null(b.argv.items[3]);
    assert_string_equal(b.user, ""); /* absent texts are empty */
    assert_true(b.caps == UINT64_C(1) << 40);
    assert_int_equal(b.oom_score_adj, -997);
    assert_true(b.tty && !b.use_stdin);
    assert_int_equal(b.mounts.len, 2);
    assert_string_equal(b.mounts.items[1].source, "/v");
    assert_int_equal(b.mounts.items[1].propagation, OCI_PROP_SHARED);
    assert_true(b.rlimits.items[0].hard == UINT64_MAX);
    assert_int_equal(b.groups.items[2], 3);
    assert_string_equal(b.limits.cpuset_cpus, "0-1");
    assert_int_equal(b.seccomp.len, 8);
    arena_free(&arena);
}

static void test_unknown_fields_are_skipped(void **state)
{
    static const char extra[] = { (char)0xee, 0x7f, 3, 0, 0, 0, 'x', 'y', 'z' };
    _cleanup_buf_ Buf bytes = BUF_INIT;
    AppSpec a, b;
    Arena arena;

    arena_init(&arena, 0);
    sample(&a);
    buf_append(&bytes, extra, sizeof extra);
    app_spec_encode(&a, &bytes);
    assert_int_equal(app_spec_decode(buf_view(&bytes), &arena, &b, NULL), 0);
    arena_free(&arena);
}

static void test_damage_is_refused_or_harmless(void **state)
{
    _cleanup_buf_ Buf bytes = BUF_INIT;
    AppSpec a, b;
    Arena arena;
    Err err = { 0 };

    arena_init(&arena, 1 << 20);
    sample(&a);
    app_spec_encode(&a, &bytes);
    for (size_t n = 0; n < bytes.len; n++) {
        (void)!app_spec_decode(sv_head(buf_view(&bytes), n), &arena, &b, NULL);
        arena_reset(&arena);
    }
    for (size_t i = 0; i < bytes.len; i++) {
        bytes.ptr[i] ^= 0x55;
        (void)!app_spec_decode(buf_view(&bytes), &arena, &b, NULL);
        bytes.ptr[i] ^= 0x55;
        arena_reset(&arena);
    }
    assert_int_equal(app_spec_decode(SV("\x01"), &arena, &b, &err), -ERR_PROTO);
    assert_int_equal(app_spec_decode(SV(""), &arena, &b, &err), -ERR_INVALID);
    arena_free(&arena);
}

static void test_ids(void **state)
{
    assert_true(pod_id_is_valid("a-b_c.d9", 64));
    assert_false(pod_id_is_valid("", 64));
    assert_false(pod_id_is_valid(NULL, 64));
    assert_false(pod_id_is_valid("..", 64));
    assert_false(pod_id_is_valid("a/b", 64));
    assert_false(pod_id_is_valid("aaaaa", 4));
}

static void test_packets(void **state)
{
    const ProtoRequest r = { .id = "x", .signal = 15, .argv = { argv_items, 3 } };
    _cleanup_buf_ Buf p = BUF_INIT;
    ProtoRequest got;
    ProtoHeader h;
    StrView body;
    Arena arena;

    arena_init(&arena, 0);
    proto_encode_request(PROTO_SIGNAL, 7, &r, &p);
    assert_int_equal(proto_check(buf_view(&p), &h, &body, NULL), 0);
    assert_int_equal(h.type, PROTO_SIGNAL);
    assert_int_equal(h.request, 7);
    assert_int_equal(proto_decode_request(body, &arena, &got, NULL), 0);
    assert_int_equal(got.signal, 15);
    assert_int_equal(proto_check(sv_head(buf_view(&p), 15), &h, &body, NULL), -ERR_PROTO);
    assert_int_equal(proto_check(sv_head(buf_view(&p), p.len - 1), &h, &body, NULL), -ERR_PROTO);
    p.ptr[2] = p.ptr[3] = 0; /* version 0 */
    assert_int_equal(proto_check(buf_view(&p), &h, &body, NULL), -ERR_PROTO);
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_app_spec_round_trip),
        cmocka_unit_test(test_unknown_fields_are_skipped),
        cmocka_unit_test(test_damage_is_refused_or_harmless),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_packets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
