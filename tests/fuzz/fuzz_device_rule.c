/* fuzz_device_rule.c - device rules, one a line, and the program made of those that are right: it
 * ends with an exit and never jumps beyond it. */
#include <string.h>

#include "base/str.h"
#include "oci/cgroup_devices.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    DeviceRule rules[DEVICE_RULES_MAX];
    struct bpf_insn program[DEVICE_INSNS_MAX];
    StrView rest = sv_n(data, size), line;
    size_t n = 0, len;
    char text[128];
    Err err = { 0 };

    while (n < DEVICE_RULES_MAX && sv_next(&rest, '\n', &line))
        if (sv_copy_cstr(line, text, sizeof text) && device_rule_parse(text, &rules[n], &err) == 0)
            n++;
    for (int deny = 0; deny < 2; deny++) {
        len = deny ? device_program_deny(rules, n, program) : device_program(rules, n, program);
        ASSERT(len <= DEVICE_INSNS_MAX && program[len - 1].code == (BPF_JMP | BPF_EXIT));
        for (size_t i = 0; i < len; i++)
            if (BPF_CLASS(program[i].code) == BPF_JMP)
                ASSERT(program[i].off >= 0 && i + (size_t)program[i].off < len);
    }
    return 0;
}
