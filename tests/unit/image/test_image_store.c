/* test_image_store.c - the store end to end: imports of archives made here and by skopeo, lookups,
 * pins, garbage, and that failures leave nothing. Unpacking needs root, and KNARR_UNPACK names the
 * unpacker. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <sys/xattr.h>

#include "base/encode.h"
#include "base/file.h"
#include "base/proc.h"
#include "image/image.h"
#include "image/image_blob.h"
#include "tar_make.h"

typedef struct Fixture {
    char dir[64];
    ImageStore *store;
    Arena arena;
    Err err;
} Fixture;

static int setup(void **state)
{
    Fixture *f = calloc(1, sizeof *f);
    ImageStoreOptions opt = { .dir = "store", .unpacker = getenv("KNARR_UNPACK") };

    opt.layer_bytes_max = 4 << 20;
    arena_init(&f->arena, 0);
    strcpy(f->dir, "/tmp/knarr-store-XXXXXX");
    if (!mkdtemp(f->dir) || chdir(f->dir) < 0 || image_store_open(&opt, &f->store, &f->err) < 0)
        return -1;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    Fixture *f = *state;

    image_store_free(f->store);
    arena_free(&f->arena);
    if (chdir("/") < 0 || rm_rf(AT_FDCWD, f->dir) < 0)
        return -1;
    free(f);
    return 0;
}

static size_t count(const char *path)
{
    DIR *d = opendir(path);
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2;
}

static void sha_hex(StrView data, char hex[65])
{
    uint8_t sum[32];

    SHA256((const uint8_t *)data.ptr, data.len, sum);
    hex_encode(sum, 32, hex);
    hex[64] = 0;
}

/* docker save's old form: one gzip'ed or plain layer, config, manifest.json last. `diff` overrides.
 */
static void make_docker(const char *file, const char *tag, const TarEntry *files, size_t n,
                        const char *filter, const char *diff)
{
    _cleanup_buf_ Buf plain = BUF_INIT, layer = BUF_INIT, config = BUF_INIT, manifest = BUF_INIT;
    const char *argv[] = { "tar",    "-C",          "parts",         "-cf", file,
                           "c.json", "l/layer.tar", "manifest.json", NULL };
    char hex[65];
    int status;

    tar_make(&plain, files, n, NULL);
    tar_make(&layer, files, n, filter);
    sha_hex(buf_view(&plain), hex);
    buf_printf(&config,
               "{\"architecture\":\"amd64\",\"os\":\"linux\",\"created\":\"2026-01-02T03:04:05Z\","
               "\"config\":{\"Env\":[\"A=1\"],\"Entrypoint\":[\"/init\"],\"Cmd\":[\"-v\"],"
               "\"WorkingDir\":\"/w\",\"User\":\"5:6\",\"StopSignal\":\"SIGQUIT\",\"ExposedPorts\":"
               "{\"80/tcp\":{}},\"Volumes\":{\"/data\":{}},\"Labels\":{\"k\":\"v\"}},"
               "\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]}}",
               diff ? diff : hex);
    buf_printf(&manifest,
               "[{\"Config\":\"c.json\",\"RepoTags\":[\"%s\"],\"Layers\":[\"l/layer.tar\"]}]", tag);
    /* Not by tar_make(), which takes text without NUL bytes. */
    mkdir_p(AT_FDCWD, "parts/l", 0755);
    assert_int_equal(file_write(AT_FDCWD, "parts/c.json", buf_view(&config), 0644), 0);
    assert_int_equal(file_write(AT_FDCWD, "parts/manifest.json", buf_view(&manifest), 0644), 0);
    assert_int_equal(file_write(AT_FDCWD, "parts/l/layer.tar", buf_view(&layer), 0644), 0);
    assert_int_equal(proc_run(argv, NULL, SV_NULL, 10000, NULL, NULL, &status), 0);
    assert_int_equal(status, 0);
    rm_rf(AT_FDCWD, "parts");
}

static const TarEntry one_file[] = { { "init", '-', "#!/bin/true" }, { "op/.wh..wh..opq", '-' } };

static void test_import_docker_archive(void **state)
{
    Fixture *f = *state;
    ImageStrings dirs;
    ImageConfig c;
    ImageInfo info;
    char text[8];

    if (geteuid() != 0)
        skip();
    make_docker("a.tar", "app:v1", one_file, 2, "gzip", NULL);
    if (image_import(f->store, "docker-archive:a.tar", SV_NULL, &f->arena, &info, &f->err) < 0)
        fail_msg("%s", f->err.msg);
    assert_int_equal(info.names_len, 1);
    assert_string_equal(info.names[0], "docker.io/library/app:v1");
    assert_true(info.created_ns > 0);
    assert_int_equal(image_config(f->store, &info.manifest, &f->arena, &c, &f->err), 0);
    assert_string_equal(c.entrypoint.items[0], "/init");
    assert_null(c.entrypoint.items[1]);
    assert_string_equal(c.cmd.items[0], "-v");
    assert_string_equal(c.env.items[0], "A=1");
    assert_string_equal(c.user, "5:6");
    assert_string_equal(c.working_dir, "/w");
    assert_string_equal(c.stop_signal, "SIGQUIT");
    assert_string_equal(c.exposed_ports.items[0], "80/tcp");
    assert_string_equal(c.volumes.items[0], "/data");
    assert_string_equal(c.label_values.items[0], "v");
    assert_int_equal(image_layers(f->store, &info.manifest, &f->arena, &dirs, &f->err), 0);
    assert_int_equal(dirs.len, 1);
    assert_int_equal(chdir(dirs.items[0]), 0);
    assert_true(path_exists(AT_FDCWD, "init"));
    assert_int_equal(getxattr("op", "trusted.overlay.opaque", text, sizeof text), 1);
    assert_int_equal(chdir(f->dir), 0);
    assert_int_equal(count("store/blobs/sha256"), 3); /* manifest.json of the archive is gone */
    assert_int_equal(count("store/tmp"), 0);
}

static void test_lookup_tag_rm_and_pin(void **state)
{
    Fixture *f = *state;
    ImageInfo info, got, *list;
    ImageRef ref;
    size_t n;
    char short_id[13];

    if (geteuid() != 0)
        skip();
    make_docker("a.tar", "app:v1", one_file, 2, NULL, NULL);
    assert_int_equal(image_import(f->store, "a.tar", SV_NULL, &f->arena, &info, &f->err), 0);
    snprintf(short_id, sizeof short_id, "%.12s", digest_hex(&info.config));
    assert_int_equal(image_get(f->store, SV("app:v1"), &f->arena, &got, &f->err), 0);
    assert_int_equal(image_get(f->store, sv_cstr(info.config.text), &f->arena, &got, &f->err), 0);
    assert_int_equal(image_get(f->store, sv_cstr(short_id), &f->arena, &got, &f->err), 0);
    assert_int_equal(image_get(f->store, arena_printf(&f->arena, "app@%s", info.manifest.text),
                               &f->arena, &got, &f->err),
                     0);
    assert_int_equal(image_get(f->store, SV("app:v2"), &f->arena, &got, &f->err), -ERR_NOT_FOUND);
    assert_int_equal(image_ref_parse(SV("other"), &ref, NULL), 0);
    assert_int_equal(image_tag(f->store, &info.manifest, &ref, &f->err), 0);
    assert_int_equal(image_list(f->store, &f->arena, &list, &n, &f->err), 0);
    assert_int_equal(n, 1);
    assert_int_equal(list[0].names_len, 2);
    assert_int_equal(image_pin(f->store, "pod-1", &info.manifest, &f->err), 0);
    assert_int_equal(image_rm(f->store, SV("other"), &f->err), 0);
    assert_int_equal(image_get(f->store, SV("app:v1"), &f->arena, &got, &f->err), 0);
    assert_int_equal(image_rm(f->store, sv_cstr(info.config.text), &f->err), 0);
    assert_int_equal(image_get(f->store, SV("app:v1"), &f->arena, &got, &f->err), -ERR_NOT_FOUND);
    assert_int_equal(count("store/layers"), 1); /* still pinned */
    assert_int_equal(image_unpin(f->store, "pod-1", &f->err), 0);
    assert_int_equal(image_gc(f->store, NULL, &f->err), 0);
    assert_int_equal(count("store/layers"), 0);
    assert_int_equal(count("store/blobs/sha256"), 0);
    assert_int_equal(image_rm(f->store, SV("app:v1"), &f->err), -ERR_NOT_FOUND);
    assert_int_equal(image_pin(f->store, "../x", &info.manifest, &f->err), -ERR_INVALID);
}

static void import_fails(Fixture *f, const char *file, int code)
{
    ImageInfo info;
    Err err = { 0 };

    assert_int_equal(image_import(f->store, file, SV_NULL, &f->arena, &info, &err), -code);
    assert_true(err.msg[0]);
    assert_int_equal(count("store/blobs/sha256"), 0);
    assert_int_equal(count("store/layers"), 0);
    assert_int_equal(count("store/tmp"), 0);
}

static void test_failed_imports_leave_nothing(void **state)
{
    static const TarEntry escape[] = { { "../x", '-', "x" } };
    static const TarEntry bomb[] = { { "big", '-', .size = 8 << 20 } };
    static const TarEntry junk[] = { { "readme", '-', "hi" } };
    _cleanup_buf_ Buf tar = BUF_INIT;
    Fixture *f = *state;

    if (geteuid() != 0)
        skip();
    make_docker("bad-diff.tar", "a", one_file, 2, "gzip",
                "00000000000000000000000000000000000000000000000000000000000000aa");
    import_fails(f, "bad-diff.tar", ERR_CORRUPT);
    make_docker("escape.tar", "a", escape, 1, "gzip", NULL);
    import_fails(f, "escape.tar", ERR_INVALID);
    make_docker("bomb.tar", "a", bomb, 1, "zstd", NULL);
    import_fails(f, "bomb.tar", ERR_LIMIT);
    make_docker("name.tar", "A BAD NAME", one_file, 2, NULL, NULL);
    import_fails(f, "name.tar", ERR_INVALID);
    tar_make(&tar, junk, 1, NULL);
    assert_int_equal(file_write(AT_FDCWD, "junk.tar", buf_view(&tar), 0644), 0);
    import_fails(f, "junk.tar", ERR_INVALID);
    import_fails(f, "missing.tar", ERR_NOT_FOUND);
}

static bool run(const char *script)
{
    const char *argv[] = { "sh", "-ec", script, NULL };
    int status = -1;

    return proc_run(argv, NULL, SV_NULL, 60000, NULL, NULL, &status) == 0 && status == 0;
}

static void test_import_what_skopeo_writes(void **state)
{
    static const char *const sources[] = { "oci:layout", "oci:layout:app:v3", "oci-archive:oci.tar",
                                           "docker-archive:docker.tar" };
    Fixture *f = *state;
    ImageInfo info, first;
    Digest *manifest = &first.manifest;

    if (geteuid() != 0 || !run("command -v skopeo"))
        skip();
    make_docker("a.tar", "app:v3", one_file, 2, NULL, NULL);
    if (!run("skopeo --insecure-policy copy -q docker-archive:a.tar oci:layout:app:v3;"
             "skopeo --insecure-policy copy -q oci:layout:app:v3 oci-archive:oci.tar:app:v3;"
             "skopeo --insecure-policy copy -q oci:layout:app:v3 docker-archive:docker.tar:app:v3"))
        fail_msg("skopeo failed");
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        if (image_import(f->store, sources[i], SV_NULL, &f->arena, &info, &f->err) < 0)
            fail_msg("%s: %s", sources[i], f->err.msg);
        assert_string_equal(info.names[0], "docker.io/library/app:v3");
        if (i == 0)
            first = info;
        if (i < 3) /* layouts keep the manifest's digest */
            assert_string_equal(info.manifest.text, manifest->text);
    }
    assert_int_equal(count("store/layers"), 1);
    assert_int_equal(
        image_import(f->store, "oci:layout", SV("quay.io/x/y"), &f->arena, &info, &f->err), 0);
    assert_int_equal(image_get(f->store, SV("quay.io/x/y:latest"), &f->arena, &info, &f->err), 0);
    /* A layer damaged in the layout is found by its digest. */
    assert_true(run("for b in layout/blobs/sha256/*; do printf x >>$b; done"));
    assert_int_equal(image_rm(f->store, SV("quay.io/x/y"), &f->err), 0);
    assert_int_equal(image_rm(f->store, SV("app:v3"), &f->err), 0);
    import_fails(f, "oci:layout", ERR_CORRUPT);
}

#define BAD_DIGEST "sha256:abababababababababababababababababababababababababababababababab"

static void test_a_digest_in_a_name_is_that_of_the_manifest(void **state)
{
    Fixture *f = *state;
    ImageInfo info;
    StrView own;

    if (geteuid() != 0)
        skip();
    make_docker("a.tar", "trusted@" BAD_DIGEST, one_file, 2, NULL, NULL);
    import_fails(f, "a.tar", ERR_CORRUPT);
    make_docker("b.tar", "app:v1", one_file, 2, NULL, NULL);
    assert_int_equal(image_import(f->store, "b.tar", SV("trusted:v1@" BAD_DIGEST), &f->arena, &info,
                                  &f->err),
                     -ERR_CORRUPT);
    assert_int_equal(image_import(f->store, "b.tar", SV_NULL, &f->arena, &info, &f->err), 0);
    own = arena_printf(&f->arena, "app@%s", info.manifest.text);
    assert_int_equal(image_get(f->store, own, &f->arena, &info, &f->err), 0);
    /* A store of a time without this check. */
    _cleanup_buf_ Buf index = BUF_INIT, bad = BUF_INIT;
    StrView before, after;
    assert_int_equal(file_read(AT_FDCWD, "store/index.json", 1 << 20, &index), 0);
    ssize_t at = sv_find(buf_view(&index), SV("app:v1"));
    assert_true(at > 0);
    before = sv_head(buf_view(&index), (size_t)at);
    after = sv_skip(buf_view(&index), (size_t)at + 6);
    buf_printf(&bad, "%.*sapp@" BAD_DIGEST "%.*s", SV_FMT(before), SV_FMT(after));
    assert_int_equal(file_write(AT_FDCWD, "store/index.json", buf_view(&bad), 0644), 0);
    assert_int_equal(image_get(f->store, SV("app@" BAD_DIGEST), &f->arena, &info, &f->err),
                     -ERR_NOT_FOUND);
}

/* As containerd exports what was pulled by the digest of its index. */
static void test_a_digest_in_a_name_may_be_that_of_an_index(void **state)
{
    Fixture *f = *state;
    _cleanup_buf_ Buf hex = BUF_INIT;
    ImageInfo info;
    StrView name;

    if (geteuid() != 0 || !run("command -v skopeo && command -v jq"))
        skip();
    make_docker("a.tar", "app:v3", one_file, 2, NULL, NULL);
    if (!run("skopeo --insecure-policy copy -q docker-archive:a.tar oci:layout:app:v3; cd layout;"
             "jq -c '{schemaVersion: 2, mediaType: \"application/vnd.oci.image.index.v1+json\","
             "  manifests: [.manifests[0] | del(.annotations)]}' index.json >i;"
             "h=$(sha256sum <i | cut -d' ' -f1); printf %s $h >../hex; n=$(stat -c %s i);"
             "mv i blobs/sha256/$h;"
             "printf '{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
             "\"application/vnd.oci.image.index.v1+json\",\"digest\":\"sha256:%s\",\"size\":%s,"
             "\"annotations\":{\"io.containerd.image.name\":\"example.com/app@sha256:%s\"}}]}' "
             "$h $n $h >index.json"))
        fail_msg("the layout could not be made");
    assert_int_equal(file_read(AT_FDCWD, "hex", 64, &hex), 0);
    name = arena_printf(&f->arena, "example.com/app@sha256:%.64s", hex.ptr);
    if (image_import(f->store, "oci:layout", SV_NULL, &f->arena, &info, &f->err) < 0)
        fail_msg("%s", f->err.msg);
    assert_int_equal(image_gc(f->store, NULL, &f->err), 0);
    assert_int_equal(image_get(f->store, name, &f->arena, &info, &f->err), 0);
    name = arena_printf(&f->arena, "example.com/app@%s", info.manifest.text);
    assert_int_equal(image_get(f->store, name, &f->arena, &info, &f->err), 0);
}

static void test_damaged_store_is_found(void **state)
{
    Fixture *f = *state;
    _cleanup_buf_ Buf out = BUF_INIT;
    Digest d;

    assert_int_equal(blob_put(f->store, SV("hello"), &d, &f->err), 0);
    assert_int_equal(blob_read(f->store, &d, 5, &out, &f->err), 0);
    assert_int_equal(blob_read(f->store, &d, 4, &out, &f->err), -ERR_LIMIT);
    assert_true(blob_is_kept(f->store, &d, 5));
    assert_false(blob_is_kept(f->store, &d, 6));
    assert_false(blob_drop_damaged(f->store, &d));
    assert_int_equal(
        file_write(AT_FDCWD, arena_printf(&f->arena, "store/blobs/sha256/%s", digest_hex(&d)).ptr,
                   SV("jello"), 0644),
        0);
    assert_int_equal(blob_read(f->store, &d, 5, &out, &f->err), -ERR_CORRUPT);
    assert_false(blob_is_kept(f->store, &d, 5));
    assert_true(blob_drop_damaged(f->store, &d));
    assert_false(blob_exists(f->store, &d, NULL));
    assert_false(blob_drop_damaged(f->store, &d));
}

static void damage_manifest(Fixture *f, const ImageInfo *info)
{
    const char *path =
        arena_printf(&f->arena, "store/blobs/sha256/%s", digest_hex(&info->manifest)).ptr;

    assert_int_equal(file_write(AT_FDCWD, path, SV("{}"), 0644), 0);
}

/* Others are found and listed; it can be imported again, or removed; and what runs from it keeps
 * its layers. */
static void test_a_damaged_image_costs_itself_only(void **state)
{
    static const TarEntry other[] = { { "etc/", 'd' }, { "etc/other", '-', "x" } };
    Fixture *f = *state;
    ImageInfo good, bad, *list;
    size_t n;
    Err err = { 0 };

    if (geteuid() != 0)
        skip();
    make_docker("good.tar", "good:1", one_file, 2, NULL, NULL);
    make_docker("bad.tar", "bad:1", other, 2, NULL, NULL);
    assert_int_equal(image_import(f->store, "good.tar", SV_NULL, &f->arena, &good, &err), 0);
    assert_int_equal(image_import(f->store, "bad.tar", SV_NULL, &f->arena, &bad, &err), 0);
    assert_int_equal(image_pin(f->store, "pod", &bad.manifest, &err), 0);
    damage_manifest(f, &bad);
    assert_int_equal(image_get(f->store, SV("good:1"), &f->arena, &good, &err), 0);
    assert_int_equal(image_list(f->store, &f->arena, &list, &n, &err), 0);
    assert_int_equal(n, 2);
    assert_non_null(list[0].damage);
    assert_null(list[1].damage);
    assert_int_equal(image_get(f->store, SV("bad:1"), &f->arena, &bad, &err), -ERR_CORRUPT);
    assert_non_null(strstr(err.msg, "import it again"));
    assert_int_equal(image_gc(f->store, NULL, &err), 0);
    assert_int_equal(count("store/layers"), 2);
    assert_int_equal(image_import(f->store, "bad.tar", SV_NULL, &f->arena, &bad, &err), 0);
    assert_int_equal(image_get(f->store, SV("bad:1"), &f->arena, &bad, &err), 0);
    damage_manifest(f, &bad);
    assert_int_equal(image_unpin(f->store, "pod", &err), 0);
    assert_int_equal(image_rm(f->store, SV("bad:1"), &err), 0);
    assert_int_equal(count("store/layers"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_import_docker_archive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lookup_tag_rm_and_pin, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_imports_leave_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_import_what_skopeo_writes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_digest_in_a_name_is_that_of_the_manifest, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_digest_in_a_name_may_be_that_of_an_index, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_damaged_store_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_damaged_image_costs_itself_only, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
