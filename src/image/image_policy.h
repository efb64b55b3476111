/* image_policy.h - which images may be pulled: containers' policy.json (containers-policy.json(5)),
 * with signatures of cosign's form, made with a key. */
#pragma once

#include "base/arena.h"
#include "base/list.h"
#include "image/image_ref.h"

#define IMAGE_POLICY_FILE "/etc/containers/policy.json"
enum { IMAGE_POLICY_MAX = 1024 * 1024, IMAGE_POLICY_KEY_MAX = 64 * 1024 };

typedef enum PolicyKind { POLICY_ACCEPT, POLICY_REJECT, POLICY_SIGNED } PolicyKind;
typedef enum PolicyIdentity {
    POLICY_REPO_DIGEST_OR_EXACT, /* the default: a name with a tag must be signed with it */
    POLICY_EXACT,
    POLICY_REPOSITORY, /* what cosign signs has no tag */
} PolicyIdentity;
typedef struct PolicyRule {
    PolicyKind kind;
    StrView key; /* POLICY_SIGNED: PEM of a public key */
    PolicyIdentity identity;
} PolicyRule;
typedef LIST(PolicyRule) PolicyRules;

/* Immutable once it is read. */
typedef struct ImagePolicy ImagePolicy;

/* Reads the keys as well. ERR_NOT_FOUND: there is no such file; ERR_INVALID names the file, line,
 * path and what was expected: what is not known is not passed over. */
int image_policy_load(const char *file, ImagePolicy **ret, Err *err) NODISCARD;
int image_policy_parse(StrView text, const char *name, ImagePolicy **ret, Err *err) NODISCARD;
ImagePolicy *image_policy_free(ImagePolicy *p); /* always NULL */

/* What all must hold of an image of this name; never empty. */
const PolicyRules *image_policy_for(const ImagePolicy *p, const ImageRef *ref);
/* Is this a good signature, by the rule's key, of the manifest `digest` under this name? `payload`
 * is what was signed, `signature` its base64. ERR_DENIED says why not. */
int image_policy_check(const PolicyRule *r, const ImageRef *ref, const Digest *digest,
                       StrView payload, StrView signature, Err *err) NODISCARD;
