/* test_pull.c - who may use an image that was pulled, the credentials in a pod's secrets, and what
 * a node shows of its images. */
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/file.h"
#include "codec/json.h"
#include "kubelet/image_gc.h"
#include "kubelet/pull_record.h"
#include "kubelet/pull_secrets.h"

typedef struct Fix {
    char dir[64], records[80];
    Arena arena;
    Digest image;
    Err err;
} Fix;

static int setup(void **state)
{
    Fix *f = calloc(1, sizeof *f);
    strcpy(f->dir, "/tmp/knarr-test-pull-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    snprintf(f->records, sizeof f->records, "%s/pulled", f->dir);
    arena_init(&f->arena, 0);
    digest_from_bytes((uint8_t[32]){ 7 }, &f->image);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fix *f = *state;
    assert_int_equal(rm_rf(AT_FDCWD, f->dir), 0);
    arena_free(&f->arena);
    free(f);
    return 0;
}

static PullRight right(const char *uid, const char *hash)
{
    return (PullRight){ sv_cstr(uid), SV("ns"), SV("name"), sv_cstr(hash) };
}

static PullRecord record_of(Fix *f)
{
    PullRecord r;
    assert_int_equal(pull_record_read(f->records, &f->image, &f->arena, &r, &f->err), 0);
    return r;
}

/* ---- records ---- */

static void test_an_image_without_a_record_was_brought_by_hand(void **state)
{
    assert_false(record_of(*state).exists);
}

static void test_the_same_secret_or_the_same_credential_is_a_right(void **state)
{
    Fix *f = *state;
    PullRight a = right("1", "aa"), renewed = right("1", "bb"), copy = right("2", "aa"),
              other = right("3", "cc"), empty = right("4", "");
    assert_int_equal(pull_record_add(f->records, &f->image, &a, &f->err), 0);
    PullRecord r = record_of(f);
    assert_true(r.exists && !r.everyone);
    assert_true(pull_record_allows(&r, &a));
    assert_true(pull_record_allows(&r, &renewed));
    assert_true(pull_record_allows(&r, &copy));
    assert_false(pull_record_allows(&r, &other));
    assert_int_equal(pull_record_add(f->records, &f->image, &empty, &f->err), 0);
    r = record_of(f);
    assert_int_equal(r.rights.len, 2);
    PullRight nobody = right("5", "");
    assert_false(pull_record_allows(&r, &nobody));
}

static void test_what_a_secret_held_before_is_no_right(void **state)
{
    Fix *f = *state;
    PullRight old = right("1", "aa"), now = right("1", "bb"), copy = right("2", "aa");
    assert_int_equal(pull_record_add(f->records, &f->image, &old, &f->err), 0);
    assert_int_equal(pull_record_add(f->records, &f->image, &now, &f->err), 0);
    PullRecord r = record_of(f);
    assert_int_equal(r.rights.len, 1);
    assert_false(pull_record_allows(&r, &copy));
}

static void test_for_everyone_stays_for_everyone(void **state)
{
    Fix *f = *state;
    PullRight a = right("1", "aa");
    assert_int_equal(pull_record_add(f->records, &f->image, NULL, &f->err), 0);
    assert_int_equal(pull_record_add(f->records, &f->image, &a, &f->err), 0);
    assert_true(record_of(f).everyone);
}

static void test_a_damaged_record_lets_nobody_in(void **state)
{
    Fix *f = *state;
    PullRight a = right("1", "aa");
    char path[200];
    assert_int_equal(pull_record_add(f->records, &f->image, &a, &f->err), 0);
    snprintf(path, sizeof path, "%s/%s", f->records, digest_hex(&f->image));
    static const char *const damaged[] = { "", "{", "[]", "\"\"",
                                           "{\"nodePodsAccessible\":\"true\"}" };
    for (size_t i = 0; i < ARRAY_SIZE(damaged); i++) {
        assert_int_equal(file_write(AT_FDCWD, path, sv_cstr(damaged[i]), 0600), 0);
        assert_int_equal(truncate(path, (off_t)strlen(damaged[i])), 0);
        PullRecord r = record_of(f);
        assert_true(r.exists && !r.everyone);
        assert_false(pull_record_allows(&r, &a));
    }
    assert_int_equal(pull_record_add(f->records, &f->image, &a, &f->err), 0); /* and is mended */
    PullRecord r = record_of(f);
    assert_true(pull_record_allows(&r, &a));
}

/* ---- secrets ---- */

static Value secret(Fix *f, const char *type, const char *key, const char *document)
{
    _cleanup_buf_ Buf text = BUF_INIT;
    Value v;
    buf_printf(&text,
               "{\"metadata\":{\"name\":\"s\",\"namespace\":\"n\",\"uid\":\"u\"},"
               "\"type\":\"%s\",\"data\":{\"%s\":\"",
               type, key);
    base64_encode(BASE64_STD, sv_cstr(document), &text);
    buf_sv(&text, SV("\"}}"));
    StrView kept = arena_sv(&f->arena, buf_view(&text));
    assert_int_equal(json_decode(kept, &f->arena, NULL, &v, &f->err), 0);
    return v;
}

static void test_both_types_of_secrets_are_read(void **state)
{
    static const char *const hosts = "{\"quay.io\":{\"username\":\"a\",\"password\":\"p\"},"
                                     "\"quay.io/team\":{\"auth\":\"Yjpx\"},"
                                     "\"other.io\":{\"username\":\"c\",\"password\":\"r\"}}";
    Fix *f = *state;
    char nested[400];
    ImageRef ref;
    snprintf(nested, sizeof nested, "{\"auths\":%s}", hosts);
    assert_int_equal(image_ref_parse(SV("quay.io/team/app:1"), &ref, &f->err), 0);
    const Value both[] = {
        secret(f, "kubernetes.io/dockerconfigjson", ".dockerconfigjson", nested),
        secret(f, "kubernetes.io/dockercfg", ".dockercfg", hosts),
    };
    for (size_t i = 0; i < ARRAY_SIZE(both); i++) {
        PullCredentials c = { 0 };
        assert_int_equal(pull_secret_read(&both[i], &ref, &f->arena, &c, &f->err), 0);
        pull_secrets_sort(&c);
        assert_int_equal(c.fits.len, 2);
        assert_true(sv_eq(c.fits.items[0].auth.username, SV("b"))); /* the longer path first */
        assert_true(sv_eq(c.fits.items[1].auth.username, SV("a")));
        assert_true(sv_eq(c.fits.items[0].right.uid, SV("u")));
        assert_int_equal(c.fits.items[0].right.hash.len, 64);
        assert_false(sv_eq(c.fits.items[0].right.hash, c.fits.items[1].right.hash));
    }
}

static void test_what_is_no_credential_is_refused(void **state)
{
    Fix *f = *state;
    ImageRef ref;
    PullCredentials c = { 0 };
    assert_int_equal(image_ref_parse(SV("quay.io/app"), &ref, &f->err), 0);
    const Value bad[] = {
        secret(f, "Opaque", ".dockerconfigjson", "{\"auths\":{}}"),
        secret(f, "kubernetes.io/dockerconfigjson", "other", "{}"),
        secret(f, "kubernetes.io/dockerconfigjson", ".dockerconfigjson", "no JSON"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        f->err = (Err){ 0 };
        assert_true(pull_secret_read(&bad[i], &ref, &f->arena, &c, &f->err) < 0);
        assert_non_null(strstr(f->err.msg, "secret s"));
    }
    assert_int_equal(c.fits.len, 0);
}

static void test_a_credential_is_tried_once_and_so_many_at_most(void **state)
{
    Fix *f = *state;
    ImageRef ref;
    PullCredentials c = { 0 };
    _cleanup_buf_ Buf text = BUF_INIT;
    assert_int_equal(image_ref_parse(SV("quay.io/team/app:1"), &ref, &f->err), 0);
    buf_sv(&text, SV("{\"quay.io\":{\"username\":\"u\",\"password\":\"1\"}"));
    /* Patterns that differ and all fit. */
    for (unsigned i = 0; i < 3 * PULL_CREDENTIALS_MAX; i++)
        for (unsigned same = 0; same < 2; same++)
            buf_printf(&text, ",\"%s[q%c]uay.io/%.*s\":{\"username\":\"u\",\"password\":\"%u\"}",
                       same ? "https://" : "", (int)('A' + i % 26), (int)(i / 26), "team/app", i);
    buf_sv(&text, SV("}"));
    Value v = secret(f, "kubernetes.io/dockercfg", ".dockercfg", buf_cstr(&text));
    assert_int_equal(pull_secret_read(&v, &ref, &f->arena, &c, &f->err), 0);
    assert_int_equal(c.fits.len, PULL_CREDENTIALS_MAX);
    for (unsigned i = 0; i < c.fits.len; i++)
        for (unsigned k = 0; k < i; k++)
            assert_false(sv_eq(c.fits.items[i].right.hash, c.fits.items[k].right.hash));
}

/* ---- node.status.images ---- */

static void test_images_of_a_node(void **state)
{
    Fix *f = *state;
    const char *two[] = { "quay.io/a/b:1", "quay.io/a/b:2", NULL },
               *one[] = { "docker.io/c/d:1", NULL };
    ImageInfo list[4] = { { .names = two, .names_len = 2, .size = 10 },
                          { .names = one, .names_len = 1, .size = 20 },
                          { .names_len = 0, .size = 99 },
                          { .names = one, .names_len = 1, .size = 30, .damage = "gone" } };
    for (size_t i = 0; i < ARRAY_SIZE(list); i++)
        digest_from_bytes((uint8_t[32]){ (uint8_t)i }, &list[i].manifest);
    Value v = node_images(list, ARRAY_SIZE(list), &f->arena);
    _cleanup_buf_ Buf text = BUF_INIT, want = BUF_INIT;
    json_encode(&v, &text);
    buf_printf(&want,
               "[{\"names\":[\"docker.io/c/d@%s\",\"docker.io/c/d:1\"],\"sizeBytes\":20},"
               "{\"names\":[\"quay.io/a/b@%s\",\"quay.io/a/b:1\",\"quay.io/a/b:2\"],"
               "\"sizeBytes\":10}]",
               list[1].manifest.text, list[0].manifest.text);
    assert_string_equal(buf_cstr(&text), buf_cstr(&want));
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_an_image_without_a_record_was_brought_by_hand),
        T(test_the_same_secret_or_the_same_credential_is_a_right),
        T(test_what_a_secret_held_before_is_no_right),
        T(test_for_everyone_stays_for_everyone),
        T(test_a_damaged_record_lets_nobody_in),
        T(test_both_types_of_secrets_are_read),
        T(test_what_is_no_credential_is_refused),
        T(test_a_credential_is_tried_once_and_so_many_at_most),
        T(test_images_of_a_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
