/* fuzz_aws.c - files with profiles, and answers of STS: what is found lies inside. */
#include "base/macros.h"
#include "fetch/aws_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(StrView part, StrView whole)
{
    ASSERT(!part.len || (part.ptr >= whole.ptr && part.ptr + part.len <= whole.ptr + whole.len));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    StrView text = sv_n(data, size), found = SV("");
    AwsProfile p = { .key_id = SV(""), .secret = SV(""), .session = SV(""), .region = SV("") };
    aws_profile_find(text, SV("default"), &p);
    inside(p.key_id, text);
    inside(p.secret, text);
    inside(p.session, text);
    inside(p.region, text);
    if (aws_element(text, "AccessKeyId", &found))
        inside(found, text);
    return 0;
}
