/* registry_manifest.c - what a registry answers for a name: a manifest or an index (OCI image
 * specification 1.1), or Docker's forms of them (schema 2), told apart by what they say they are.
 */
#include <stdio.h>

#include "codec/json.h"
#include "image/registry_internal.h"

#define OCI    "application/vnd.oci.image."
#define DOCKER "application/vnd.docker.distribution.manifest."

const char reg_manifest_accept[] =
    OCI "manifest.v1+json, " OCI "index.v1+json, " DOCKER "v2+json, " DOCKER "list.v2+json";

/* Architectures as Go names them. */
static void own_platform(RegPlatform *p)
{
#if defined(__x86_64__)
    p->architecture = SV("amd64");
#elif defined(__aarch64__)
    p->architecture = SV("arm64");
    p->variant = SV("v8");
#elif defined(__riscv)
    p->architecture = SV("riscv64");
#else
#error "name this architecture as Go does"
#endif
    p->os = SV("linux");
}

RegPlatform reg_platform(const RegistryOptions *o)
{
    RegPlatform p = { 0 };

    own_platform(&p);
    if (o->architecture.len) {
        p.architecture = o->architecture;
        p.variant = o->variant;
    } else if (o->variant.len) {
        p.variant = o->variant;
    }
    if (o->os.len)
        p.os = o->os;
    return p;
}

/* How well an entry of an index fits: 0 not at all. Variants as containerd takes them: arm64 is v8,
 * what needs less of the same architecture will do, the nearest is the best. */
static unsigned fit(const Value *platform, const RegPlatform *want)
{
    StrView os = value_str(value_get(platform, SV("os")));
    StrView arch = value_str(value_get(platform, SV("architecture")));
    StrView variant = value_str(value_get(platform, SV("variant")));
    StrView wanted = want->variant;

    if (!sv_eq(os, want->os) || !sv_eq(arch, want->architecture))
        return 0;
    if (sv_eq(arch, SV("arm64"))) {
        variant = variant.len ? variant : SV("v8");
        wanted = wanted.len ? wanted : SV("v8");
    }
    if (sv_eq(arch, SV("arm"))) {
        variant = variant.len ? variant : SV("v7");
        wanted = wanted.len ? wanted : SV("v7");
    }
    if (sv_eq(variant, wanted))
        return 100;
    if (!variant.len)
        return 50;
    if (sv_eq(arch, SV("arm")) && variant.len == 2 && wanted.len == 2 && variant.ptr[0] == 'v' &&
        variant.ptr[1] >= '5' && variant.ptr[1] < wanted.ptr[1] && wanted.ptr[1] <= '8')
        return 60u + (unsigned)(variant.ptr[1] - '0');
    /* x86-64's levels: without a wish the plainest. */
    return !wanted.len && sv_eq(arch, SV("amd64")) && sv_eq(variant, SV("v1")) ? 90 : 0;
}

/* Attestations stand in indexes as images for no platform. */
static bool is_no_image(const Value *entry)
{
    const Value *notes = value_get(entry, SV("annotations"));

    return value_get(notes, SV("vnd.docker.reference.type")) != NULL ||
           value_get(entry, SV("artifactType")) != NULL;
}

static int choose(const Value *list, const RegPlatform *want, RegManifest *ret, Err *err)
{
    const Value *best = NULL, *plain = NULL;
    unsigned best_fit = 0;

    value_list_foreach (m, list) {
        const Value *p = value_get(m, SV("platform"));
        unsigned n = value_is(p, VALUE_MAP) ? fit(p, want) : 0;

        if (is_no_image(m))
            continue;
        if (n > best_fit) {
            best = m;
            best_fit = n;
        } else if (!value_is(p, VALUE_MAP) && !plain) {
            plain = m; /* an index without platforms, of one image */
        }
    }
    if (!best)
        best = plain;
    if (!best)
        return err_set(err, ERR_NOT_FOUND, 0, "no image for %.*s/%.*s%s%.*s in the index",
                       SV_FMT(want->os), SV_FMT(want->architecture), want->variant.len ? "/" : "",
                       SV_FMT(want->variant));
    ret->is_index = true;
    return descriptor_parse(best, &ret->chosen, &ret->chosen_size, err);
}

static bool is_schema_1(const Value *doc)
{
    return value_int_or(value_get(doc, SV("schemaVersion")), 0) == 1 ||
           value_get(doc, SV("fsLayers")) != NULL;
}

int reg_manifest_parse(StrView text, StrView type, const RegPlatform *p, Arena *a, RegManifest *ret,
                       Err *err)
{
    RegManifest m = { 0 };
    StrView media, kind, rest;
    Value doc;
    int r = json_decode(text, a, NULL, &doc, err);

    if (r < 0)
        return err_set(err, ERR_PROTO, 0, "the manifest is no JSON (content type '%.*s')",
                       SV_FMT(sv_head(type, 80)));
    if (doc.kind != VALUE_MAP)
        return err_set(err, ERR_PROTO, 0, "the manifest is no object");
    sv_cut(type, ';', &kind, &rest);
    kind = sv_trim(kind);
    if (sv_starts(kind, SV(DOCKER "v1")) ||
        (!value_get(&doc, SV("mediaType")) && is_schema_1(&doc)))
        return err_set(err, ERR_UNSUPPORTED, 0,
                       "the manifest is of Docker's schema 1, which is not supported: push the "
                       "image again with a newer tool");
    media = value_str(value_get(&doc, SV("mediaType")));
    if (value_get(&doc, SV("manifests")) && value_get(&doc, SV("layers")))
        return err_set(err, ERR_INVALID, 0, "it claims to be a manifest and an index at once");
    if (media.len && sv_starts(kind, SV("application/vnd.")) && !sv_eq(media, kind))
        return err_set(err, ERR_INVALID, 0, "it was sent as '%.*s' and says it is '%.*s'",
                       SV_FMT(sv_head(kind, 80)), SV_FMT(sv_head(media, 80)));
    if (value_is(value_get(&doc, SV("manifests")), VALUE_LIST)) {
        r = choose(value_get(&doc, SV("manifests")), p, &m, err);
    } else {
        r = manifest_parse(&doc, a, &m.image, err);
        value_list_foreach (layer, value_get(&doc, SV("layers")))
            m.has_urls |= value_len(value_get(layer, SV("urls"))) > 0;
    }
    if (r >= 0)
        *ret = m;
    return r;
}
