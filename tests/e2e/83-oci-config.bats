#!/usr/bin/env bats
# config.json: what `spec` writes, what `features` promises, what is refused with which words; seccomp.
load oci

setup() { oci_setup; }
teardown() { oci_teardown; }

@test "spec: runc's own configuration, for a user without rights too, and never over another" {
    mkdir new
    ko spec --bundle new
    jq -e '.ociVersion == "1.2.0" and .process.args == ["sh"] and .process.terminal and .root == {"path": "rootfs", "readonly": true}
        and .hostname == "runc" and (.mounts | length) == 7 and (.linux.uidMappings | not)' new/config.json
    run ko spec -b new
    [ "$status" = 1 ] && [[ "$output" == *"File config.json exists. Remove it first"* ]]
    run ko spec -b nowhere
    [ "$status" = 1 ] && [[ "$output" == *"no such file or directory"* ]]
    mkdir user
    ko spec --rootless -b user
    jq -e --argjson u "$(id -u)" '.linux.uidMappings == [{"containerID": 0, "hostID": $u, "size": 1}] and (.linux.resources | not)
        and ([.linux.namespaces[].type] | index("user") and (index("network") | not))
        and (.mounts[] | select(.destination == "/sys")).type == "none"' user/config.json
    # Byte for byte but for the version, where runc is there to be asked.
    command -v runc >/dev/null || skip "runc is not installed"
    mkdir theirs theirs-user
    runc spec -b theirs
    runc spec --rootless -b theirs-user
    diff <(sed 2d new/config.json) <(sed 2d theirs/config.json)
    diff <(sed 2d user/config.json) <(sed 2d theirs-user/config.json)
}

@test "features: what runc has, and more" {
    ko features >ours.json
    jq -e '.ociVersionMin == "1.0.0" and .ociVersionMax == "1.2.0" and (.linux.namespaces | index("time") != null)
        and .linux.seccomp.enabled and (.linux.seccomp.supportedFlags | length) == 4 and .linux.mountExtensions.idmap.enabled
        and (.hooks | length) == 6 and .linux.intelRdt.enabled == false
        and .linux.cgroup.systemd and .linux.cgroup.systemdUser' ours.json
    command -v runc >/dev/null || skip "runc is not installed"
    runc features >theirs.json
    jq -n --slurpfile a ours.json --slurpfile b theirs.json '
        [["hooks"], ["mountOptions"], ["linux", "namespaces"], ["linux", "capabilities"], ["linux", "seccomp", "actions"],
         ["linux", "seccomp", "operators"], ["linux", "seccomp", "archs"]][] as $p
        | ($b[0] | getpath($p)) - ($a[0] | getpath($p)) | select(length > 0)' >missing
    [ ! -s missing ] || { cat missing; false; }
}

@test "control groups by systemd: refused where none runs, and nothing is left" {
    [ ! -d /run/systemd/system ] || skip "systemd runs here"
    for flag in --systemd-cgroup --cgroup-manager=systemd; do
        run ko $flag run "$ID"
        [ "$status" = 1 ] && [[ "$output" == *"systemd not running on this host, cannot use systemd cgroups manager"* ]]
        gone_without_trace
    done
}

@test "checkpoint and restore are refused with the reason" {
    for verb in checkpoint restore; do
        run ko $verb "$ID"
        [ "$status" = 1 ] && [[ "$output" == *"no support for criu"* ]]
    done
}

# refused JQ-FILTER WORDS: the configuration changed so is refused, and leaves nothing
refused() {
    jq "$1" config.json >other.json
    run ko run --config other.json "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"$2"* ]] || { echo "$1 ($status): $output"; return 1; }
    gone_without_trace
}

@test "a wrong field is refused with file, line, path, and what was expected" {
    echo '{"root": {' >broken.json
    run ko run --config broken.json "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"config.json: line 2 column 1: "* ]]
    refused '.process.args = "sh"' 'process.args: cannot unmarshal !!str'
    refused '.process.args = []' "process.args: args must not be empty"
    refused '.process.cwd = "x"' "process.cwd: Cwd must be an absolute path"
    refused 'del(.process.cwd)' "process.cwd: Cwd property must not be empty"
    refused '.process.user.uid = -1' "process.user.uid: a whole number from 0 to 4294967295 is expected"
    refused '.process.rlimits = [{"type": "RLIMIT_X", "soft": 1, "hard": 1}]' "process.rlimits[0].type: wrong rlimit value: 'RLIMIT_X'"
    refused '.process.oomScoreAdj = 2000' "process.oomScoreAdj: a number from -1000 to 1000 is expected"
    refused '.process.selinuxLabel = "x"' "selinux label is specified in config, but selinux is disabled or not supported"
    refused 'del(.root)' "root: root must be specified"
    refused '.ociVersion = "3.0.0"' "ociVersion: version 3.0.0 is not known"
    refused '.mounts += [{"type": "tmpfs"}]' "mounts[7].destination: an absolute path is expected"
    refused '.hooks.prestart = [{"path": "x"}]' "hooks.prestart[0].path: an absolute path is expected"
    refused '.linux.namespaces += [{"type": "uts"}]' 'malformed spec file: duplicated ns \"uts\"'
    refused '.linux.namespaces += [{"type": "moon"}]' "'moon' is no namespace; one of"
    refused '.linux.namespaces |= map(select(.type != "uts"))' "hostname: unable to set hostname without a private UTS namespace"
    refused '.linux.uidMappings = [{"containerID": 0, "hostID": 0, "size": 1}]' "USER namespace isn't enabled in the config"
    refused '.linux.namespaces += [{"type": "user"}]' "User namespaces enabled, but no uid mappings found."
    refused '.linux.sysctl = {"vm.swappiness": "1"}' 'sysctl \"vm.swappiness\" is not in a separate kernel namespace'
    refused '.linux.sysctl = {"net.ipv4.ip_forward": "1"} | .linux.namespaces |= map(select(.type != "network"))' \
        'sysctl \"net.ipv4.ip_forward\" not allowed in host network namespace'
    refused '.linux.rootfsPropagation = "up"' "linux.rootfsPropagation: 'up' is no propagation of mounts"
    refused '.linux.resources.devices += [{"allow": true, "type": "x", "access": "r"}]' "linux.resources.devices[1].type: 'x' is no type"
    refused '.linux.resources.memory.limit = "1G"' "linux.resources.memory.limit: cannot unmarshal !!str"
    refused '.linux.timeOffsets.boottime.secs = 1' "linux.timeOffsets: time namespace offsets are specified"
}

@test "fields that nobody knows are ignored, annotations are kept" {
    config '.future = {"a": 1} | .process.future = true | .annotations = {"org.example.a": "1", "b": ""}'
    ko create "$ID" </dev/null >/dev/null 2>&1
    ko state "$ID" | jq -e '.annotations == {"org.example.a": "1", "b": ""}'
}

@test "what cannot be granted is warned of" {
    config '.process.capabilities.bounding += ["CAP_FLY"] | .linux.resources.memory.kernel = 1000000'
    args true
    ko --log warnings run "$ID"
    grep -q "CAP_FLY" warnings
    grep -q "Kernel memory settings are ignored" warnings
}

@test "seccomp: an error number of one's own, a killed process" {
    config '.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 100},
                     {"names": ["sethostname"], "action": "SCMP_ACT_ERRNO"}]}'
    args mkdir /tmp/x
    run ko run "$ID"
    [ "$status" = 1 ] && [[ "$output" == *"Network is down"* ]]
    config '.linux.seccomp.syscalls = [{"names": ["kill"], "action": "SCMP_ACT_KILL_PROCESS"}]'
    script 'kill -0 $$; echo survived'
    run ko run "$ID"
    [ "$status" = 159 ] && [[ "$output" != *survived* ]]
}

@test "seccomp: a wrong profile is refused with its place" {
    profile='.linux.seccomp = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["getpid"], "action": "SCMP_ACT_ALLOW"}]} | '
    refused "$profile .linux.seccomp.defaultAction = \"NO\"" "defaultAction: string NO is not a valid action for seccomp"
    refused "$profile .linux.seccomp.architectures = [\"VAX\"]" "architectures[0]: string VAX is not a valid arch for seccomp"
    refused "$profile .linux.seccomp.flags = [\"X\"]" "flags[0]: string X is not a valid flag for seccomp"
    refused "$profile .linux.seccomp.syscalls[0].action = \"X\"" "syscalls[0]: action: string X is not a valid action for seccomp"
    refused "$profile .linux.seccomp.syscalls[0].args = [{\"index\": 0, \"op\": \"X\"}]" "args[0]: string X is not a valid operator"
    refused "$profile .linux.seccomp.syscalls[0] = {\"names\": [\"write\"], \"action\": \"SCMP_ACT_NOTIFY\"}" \
        "SCMP_ACT_NOTIFY cannot be used for the write syscall"
}
