/* test_container.c - options of mounts, names of signals, and what is kept of a container. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <linux/mount.h>

#include "base/file.h"
#include "oci/runtime/container.h"
#include "oci/runtime/mount_options.h"

static MountPlan plan_of(Arena *a, const char *type, const char **options)
{
    OciSpecMount m = { .destination = "/x", .type = type };
    MountPlan p;
    Err err;

    while (options[m.options.len])
        m.options.len++;
    m.options.items = options;
    assert_int_equal(mount_plan(&m, a, &p, &err), 0);
    return p;
}

static void test_options_are_sorted_by_what_they_mean(void **state)
{
    const char *bind[] = { "rbind", "ro", "nosuid", "suid", "rslave", "shared", "noatime", NULL };
    const char *tmpfs[] = { "size=1k", "mode=755", "nodev", "tmpcopyup", "defaults", NULL };
    const char *recursive[] = { "bind", "rro", "rnoexec", "rexec", "ridmap", NULL };
    Arena a;
    MountPlan p;

    arena_init(&a, 0);
    p = plan_of(&a, NULL, bind);
    assert_true(p.bind && p.recursive);
    assert_int_equal(p.attr_set, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOATIME);
    assert_int_equal(p.attr_clr, MOUNT_ATTR_NOSUID | MOUNT_ATTR__ATIME);
    assert_int_equal(p.propagation_len, 2);
    assert_int_equal(p.propagation[0], MS_SLAVE | MS_REC);
    assert_int_equal(p.propagation[1], MS_SHARED);
    assert_null(p.data);

    p = plan_of(&a, "tmpfs", tmpfs);
    assert_false(p.bind);
    assert_true(p.copy_up);
    assert_int_equal(p.flags, MS_NODEV);
    assert_string_equal(p.data, "size=1k,mode=755");

    p = plan_of(&a, "bind", recursive);
    assert_true(p.bind && p.idmap && p.idmap_rec);
    assert_false(p.recursive);
    assert_int_equal(p.rec_set, MOUNT_ATTR_RDONLY);
    assert_int_equal(p.rec_clr, MOUNT_ATTR_NOEXEC);
    arena_free(&a);
}

static void test_too_many_propagations_are_refused(void **state)
{
    const char *options[] = { "shared", "slave", "private", "shared", "slave", NULL };
    OciSpecMount m = { .destination = "/x", .options = { options, 5 } };
    MountPlan p;
    Arena a;
    Err err;

    arena_init(&a, 0);
    assert_int_equal(mount_plan(&m, &a, &p, &err), -ERR_LIMIT);
    arena_free(&a);
}

static void test_known_options_are_sorted(void **state)
{
    for (unsigned i = 1; mount_option_known(i); i++)
        assert_true(strcmp(mount_option_known(i - 1), mount_option_known(i)) < 0);
}

static void test_signals_have_names_and_numbers(void **state)
{
    static const struct {
        const char *text;
        int sig;
    } good[] = {
        { "TERM", SIGTERM }, { "sigkill", SIGKILL }, { "9", 9 }, { "0", 0 }, { "WINCH", SIGWINCH }
    };
    static const char *const bad[] = { "", "SIG", "NOTHING", "-1", "1000", "RTMIN+99", "TERM " };
    Err err;
    int sig;

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(oci_signal_parse(good[i].text, &sig, &err), 0);
        assert_int_equal(sig, good[i].sig);
    }
    assert_int_equal(oci_signal_parse("RTMIN+3", &sig, &err), 0);
    assert_int_equal(sig, SIGRTMIN + 3);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(oci_signal_parse(bad[i], &sig, &err), -ERR_INVALID);
}

static void test_ids_are_checked(void **state)
{
    static const char *const bad[] = { "", ".", "..", "a/b", "a b", "a:b", "\xc3\xa4" };
    char longest[OCI_ID_MAX + 2];
    Err err;

    assert_int_equal(oci_id_check("a-Z_0+9.x", &err), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(oci_id_check(bad[i], &err), -ERR_INVALID);
    memset(longest, 'a', sizeof longest);
    longest[OCI_ID_MAX] = 0;
    assert_int_equal(oci_id_check(longest, &err), 0);
    longest[OCI_ID_MAX] = 'a';
    longest[OCI_ID_MAX + 1] = 0;
    assert_int_equal(oci_id_check(longest, &err), -ERR_INVALID);
}

static const char config[] = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},\"process\":"
                             "{\"args\":[\"x\"],\"cwd\":\"/\"},\"annotations\":{\"who\":\"me\"}}";

static void test_state_is_kept_and_survives_damage(void **state)
{
    char root[] = "/tmp/knarr-state-XXXXXX";
    OciState *s, *again;
    Buf out = BUF_INIT;
    OciTexts ids;
    Arena a;
    Err err;

    assert_non_null(mkdtemp(root));
    assert_int_equal(oci_state_new(root, "one", "/bundle", sv_cstr(config), &s, &err), 0);
    assert_string_equal(s->rootfs, "/bundle/rootfs");
    assert_int_equal(oci_state_new(root, "one", "/bundle", sv_cstr(config), &again, &err),
                     -ERR_EXISTS);
    assert_string_equal(err.msg, "container with given ID already exists");
    /* Made, but nothing of it is known yet. */
    assert_int_equal(oci_state_load(root, "one", false, &again, &err), -ERR_CORRUPT);
    oci_state_free(again);
    assert_int_equal(oci_state_save(s, &err), 0);
    assert_int_equal(oci_state_load(root, "one", false, &again, &err), 0);
    assert_int_equal(again->status, OCI_CREATING); /* the lock is held */
    assert_string_equal(again->created, s->created);
    oci_state_print(again, false, &out);
    assert_non_null(strstr(buf_cstr(&out), "\"annotations\":{\"who\":\"me\"}"));
    oci_state_free(again);
    assert_int_equal(file_write(s->dir_fd, "state.json", SV("{\"id\""), 0600), 0);
    assert_int_equal(oci_state_load(root, "one", false, &again, &err), 0); /* by its copy */
    assert_string_equal(again->created, s->created);
    oci_state_free(again);
    assert_int_equal(file_write(s->dir_fd, "config.json", SV("{}"), 0600), 0);
    assert_int_equal(oci_state_load(root, "one", false, &again, &err), -ERR_CORRUPT);
    assert_string_equal(again->created, s->created);
    oci_state_free(again);
    assert_int_equal(file_write(s->dir_fd, "state.copy", SV(""), 0600), 0);
    assert_int_equal(oci_state_load(root, "one", false, &again, &err), -ERR_CORRUPT);
    assert_null(again->created);
    oci_state_free(again);
    arena_init(&a, 0);
    assert_int_equal(oci_state_ids(root, &a, &ids, &err), 0);
    assert_int_equal(ids.len, 1);
    assert_int_equal(oci_state_remove(s, &err), 0);
    oci_state_free(s);
    assert_int_equal(oci_state_load(root, "one", false, &again, &err), -ERR_NOT_FOUND);
    assert_int_equal(oci_state_ids(root, &a, &ids, &err), 0);
    assert_int_equal(ids.len, 0);
    arena_free(&a);
    buf_free(&out);
    rmdir(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_are_sorted_by_what_they_mean),
        cmocka_unit_test(test_too_many_propagations_are_refused),
        cmocka_unit_test(test_known_options_are_sorted),
        cmocka_unit_test(test_signals_have_names_and_numbers),
        cmocka_unit_test(test_ids_are_checked),
        cmocka_unit_test(test_state_is_kept_and_survives_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
