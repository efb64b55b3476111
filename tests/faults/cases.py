"""cases.py - what tests/fault-run runs with faults in it.

A case says how to begin (`prepare`), what to run (`argv`, `env`, `stdin`), how to see that it is done (`landed`), and how
all of it is undone (`undo`, which must work). `atomic`: a failed action leaves nothing, without being undone. `refuses`: the
action has to fail, whatever else fails. `stays`: it leaves a process behind, which is still watched.
`lasting`: it may fail although it is done, because nobody knows whether that lasts (a sync). To add one: a class here, and its row in all_cases()."""
import json
import os
import re
import shutil
import subprocess

PLACE = '/tmp/place'


def sh(script, **env):
    p = subprocess.run(['sh', '-ec', script], capture_output=True, text=True, env={**os.environ, **env})
    assert p.returncode == 0, f'{script}: {p.stdout}{p.stderr}'
    return p.stdout


class Case:
    name = ''
    atomic = False
    refuses = False
    stays = False
    lasting = False
    out, injected = '', 0  # what the action last said, and how many of its calls failed
    place = PLACE
    group = os.environ.get('FAULT_RUN_GROUP', 'knarr-fault')
    # Calls, or the N-th of one. The program's memory and its end are not what this is about: an mmap that fails is an
    # allocation that fails.
    skip = {'mmap', 'execve', 'wait4', 'prlimit64', 'kill', 'tgkill'}

    def __init__(self, build):
        self.bin = os.path.join(build, 'src/cmd')
        self.build = build

    def set_up(self):
        shutil.rmtree(PLACE, ignore_errors=True)
        os.makedirs(PLACE)

    def tear_down(self):
        shutil.rmtree(PLACE, ignore_errors=True)

    def prepare(self):
        pass

    def traced(self, strace):
        return strace + self.argv()

    def env(self):
        return dict(os.environ)

    def stdin(self):
        return b''

    def landed(self):
        return True

    def undo(self):
        pass

    def namespaces(self):
        return []

    def may_stay(self, line):
        return False

    def says_why(self, out):
        """A text of more than the program's name, in which something is named."""
        return len(re.sub(r'[^a-z]', '', out.lower())) > 12 and ': Success' not in out


# ---- plugins ----

class Plugin(Case):
    """A plugin by itself, as a container runtime runs it: a namespace, a configuration, one command."""
    command = 'ADD'
    atomic = True
    plugin = 'bridge'
    ns = '/tmp/ns/one'
    config = {'cniVersion': '1.0.0', 'name': 'net', 'type': 'bridge', 'bridge': 'kf0', 'isGateway': True, 'hairpinMode': True,
              'ipspoofchk': True, 'macspoofchk': True,
              'ipam': {'type': 'host-local', 'dataDir': PLACE + '/leases', 'ranges': [[{'subnet': '10.9.0.0/24'}]],
                       'routes': [{'dst': '0.0.0.0/0'}]}}

    def set_up(self):
        super().set_up()
        os.makedirs('/tmp/ns', exist_ok=True)
        os.makedirs('/tmp/plugins', exist_ok=True)
        for name in ('bridge', 'host-local', 'portmap', 'loopback'):
            if not os.path.lexists(f'/tmp/plugins/{name}'):
                os.symlink(f'{self.bin}/knarr-cni', f'/tmp/plugins/{name}')
        sh(f': >{self.ns}; unshare --net={self.ns} true')

    def tear_down(self):
        subprocess.run(['umount', '-l', self.ns], capture_output=True)
        subprocess.run('ip link del kf0; nft flush ruleset', shell=True, capture_output=True)
        super().tear_down()

    def namespaces(self):
        return ['', self.ns]

    def env(self):
        return {'PATH': os.environ['PATH'], 'CNI_COMMAND': self.command, 'CNI_CONTAINERID': 'one', 'CNI_NETNS': self.ns,
                'CNI_IFNAME': 'eth0', 'CNI_PATH': '/tmp/plugins'}

    def may_stay(self, line):
        # The bridge has an address of its first port, and the kernel adds and forgets what belongs to links.
        return bool(re.search(r'last_reserved_ip|fe80|ff00::|host kf0|10\.9\.0\.0/24 dev kf0', line))

    def argv(self):
        return [f'/tmp/plugins/{self.plugin}']

    def stdin(self):
        return json.dumps(self.conf()).encode()

    def conf(self):
        return self.config

    def call(self, command, config=None):
        p = subprocess.run(self.argv(), input=json.dumps(config or self.conf()).encode(), capture_output=True,
                           env={**self.env(), 'CNI_COMMAND': command})
        assert p.returncode == 0, f'{command}: {p.stdout.decode()}{p.stderr.decode()}'
        return json.loads(p.stdout) if p.stdout.strip() else {}

    def undo(self):
        self.call('DEL')

    def says_why(self, out):
        """An error object, unless there is nowhere to write it to."""
        if out.startswith('write to standard output: '):
            return True
        try:
            error = json.loads(out)
        except ValueError:
            return False
        return bool(error.get('code')) and len(error.get('msg', '')) > 12 and 'Success' not in error['msg']


def result_of(case):
    return {'cniVersion': '1.0.0', 'interfaces': [{'name': 'kf0'}, {'name': 'veth'}, {'name': 'eth0', 'sandbox': case.ns}],
            'ips': [{'address': '10.9.0.2/24', 'gateway': '10.9.0.1', 'interface': 2}]}


class BridgeAdd(Plugin):
    name = 'bridge-add'

    def landed(self):
        inside = sh(f'nsenter --net={self.ns} ip -4 addr show dev eth0; nsenter --net={self.ns} ip route')
        rules = sh('nft list ruleset')
        return '10.9.0.' in inside and 'default via 10.9.0.1' in inside and '10.9.0.' in rules


class BridgeDel(Plugin):
    name = 'bridge-del'
    command = 'DEL'
    atomic = False

    def prepare(self):
        self.call('ADD')

    def landed(self):
        leases = [f for f in os.listdir(f'{PLACE}/leases/net') if f[0].isdigit()]
        return not leases and 'eth0' not in sh(f'nsenter --net={self.ns} ip link') and 'ether saddr' not in sh('nft list ruleset')


class BridgeCheck(Plugin):
    name = 'bridge-check'
    command = 'CHECK'
    prev = None

    def prepare(self):
        self.prev = self.call('ADD')

    def conf(self):
        return {**self.config, 'prevResult': self.prev} if self.prev else self.config


class BridgeCheckBroken(BridgeCheck):
    name = 'bridge-check-broken'
    refuses = True

    def prepare(self):
        super().prepare()
        sh(f'nsenter --net={self.ns} ip addr flush dev eth0')


class HostLocal(Plugin):
    plugin = 'host-local'

    def leases(self):
        return [f for f in os.listdir(f'{PLACE}/leases/net') if f[0].isdigit()]


class HostLocalAdd(HostLocal):
    name = 'host-local-add'

    def landed(self):
        return len(self.leases()) == 1


class HostLocalAddTwice(HostLocal):
    """The container has an address: another would be lost."""
    name = 'host-local-add-twice'
    refuses = True

    def prepare(self):
        self.call('ADD')


class HostLocalDel(HostLocal):
    name = 'host-local-del'
    command = 'DEL'
    atomic = False

    def prepare(self):
        self.call('ADD')

    def landed(self):
        return not self.leases()


class HostLocalCheckBroken(HostLocal):
    name = 'host-local-check-broken'
    command = 'CHECK'
    refuses = True

    def prepare(self):
        self.call('ADD')
        sh(f'rm {PLACE}/leases/net/[0-9]*')


class HostLocalGc(HostLocal):
    name = 'host-local-gc'
    command = 'GC'
    atomic = False

    def prepare(self):
        self.call('ADD')

    def landed(self):
        return not self.leases()


class Loopback(Plugin):
    plugin = 'loopback'
    atomic = False
    config = {'cniVersion': '1.0.0', 'name': 'lo', 'type': 'loopback'}

    def undo(self):
        sh(f'nsenter --net={self.ns} ip link set lo down')


class LoopbackAdd(Loopback):
    name = 'loopback-add'

    def env(self):
        return {**super().env(), 'CNI_IFNAME': 'lo'}

    def landed(self):
        return 'LOOPBACK,UP' in sh(f'nsenter --net={self.ns} ip link show lo')


class LoopbackCheckBroken(LoopbackAdd):
    name = 'loopback-check-broken'
    command = 'CHECK'
    refuses = True


class Portmap(Plugin):
    plugin = 'portmap'

    def conf(self):
        return {'cniVersion': '1.0.0', 'name': 'net', 'type': 'portmap', 'snat': True,
                'runtimeConfig': {'portMappings': [{'hostPort': 8080, 'containerPort': 80, 'protocol': 'tcp'}]},
                'prevResult': result_of(self)}


class PortmapAdd(Portmap):
    name = 'portmap-add'

    def landed(self):
        return 'dnat to 10.9.0.2:80' in sh('nft list ruleset')


class PortmapDel(Portmap):
    name = 'portmap-del'
    command = 'DEL'
    atomic = False

    def prepare(self):
        self.call('ADD')

    def landed(self):
        return 'dnat to' not in sh('nft list ruleset')


class PortmapCheckBroken(Portmap):
    name = 'portmap-check-broken'
    command = 'CHECK'
    refuses = True

    def prepare(self):
        self.call('ADD')
        sh('nft flush ruleset')


# ---- images ----

class Image(Case):
    def set_up(self):
        super().set_up()
        if not os.path.exists('/tmp/demo.tar'):
            sh(f'{os.path.dirname(os.path.abspath(__file__))}/../../tools/demo-image /tmp/demo.tar knarr.local/demo:1')

    def run(self, *words):
        p = subprocess.run([f'{self.bin}/knarr-image', *words, '--data-dir', PLACE], capture_output=True, text=True)
        assert p.returncode == 0, f'image {words}: {p.stdout}{p.stderr}'
        return p.stdout

    def has_image(self):
        return 'knarr.local/demo' in self.run('list')

    def undo(self):
        """What an interrupted collection left, the next one gets."""
        if not self.has_image():
            self.run('import', '/tmp/demo.tar')
        self.run('rm', 'knarr.local/demo:1')


class ImageImport(Image):
    name = 'image-import'
    atomic = lasting = True

    def argv(self):
        return [f'{self.bin}/knarr-image', 'import', '/tmp/demo.tar', '--data-dir', PLACE]

    def landed(self):
        return self.has_image()


class ImageRemove(Image):
    name = 'image-rm'

    def prepare(self):
        self.run('import', '/tmp/demo.tar')

    def argv(self):
        return [f'{self.bin}/knarr-image', 'rm', 'knarr.local/demo:1', '--data-dir', PLACE]

    def landed(self):
        return not self.has_image()


class ImageList(Image):
    name = 'image-list'

    def prepare(self):
        self.run('import', '/tmp/demo.tar')

    def argv(self):
        return [f'{self.bin}/knarr-image', 'list', '--data-dir', PLACE]

    def landed(self):
        return 'knarr.local/demo' in self.out


# ---- networks and pods, by their libraries ----

class Driven(Plugin):
    """By tests/faults/act.c, which calls what the kubelet calls."""
    action = ''

    def act(self, action):
        return [f'{self.build}/tests/faults/fault-act', action, PLACE, self.ns, f'{self.bin}/knarr-stage1',
                f'/{self.group}']

    def argv(self):
        return self.act(self.action)

    def stdin(self):
        return b''

    def run(self, action):
        p = subprocess.run(self.act(action), capture_output=True, text=True)
        assert p.returncode == 0, f'{action}: {p.stdout}{p.stderr}'
        return p.stdout

    def says_why(self, out):
        return Case.says_why(self, out)


class Chain(Driven):
    def links(self):
        return sh(f'nsenter --net={self.ns} ip link; nft list ruleset; ls {PLACE}/leases/net')

    def is_attached(self):
        text = self.links()
        return 'eth0' in text and 'dnat to' in text and '10.9.0.' in text

    def undo(self):
        self.run('cni-del')


class ChainAdd(Chain):
    name = action = 'cni-add'

    def landed(self):
        return self.is_attached()


class ChainDel(Chain):
    name = action = 'cni-del'
    atomic = False

    def prepare(self):
        self.run('cni-add')

    def landed(self):
        text = self.links()
        return 'eth0' not in text and 'dnat to' not in text and not re.search(r'^10\.9\.', text, re.M)


class ChainCheckBroken(Chain):
    name = 'cni-check-broken'
    action = 'cni-check'
    refuses = True

    def prepare(self):
        self.run('cni-add')
        sh(f'nsenter --net={self.ns} ip addr flush dev eth0')


class Pod(Driven):
    atomic = False

    def set_up(self):
        super().set_up()
        if not os.path.exists('/tmp/layer'):
            sh('mkdir -p /tmp/layer/bin; cp "$(command -v busybox)" /tmp/layer/bin/; ln -s busybox /tmp/layer/bin/sh; '
               'ln -s busybox /tmp/layer/bin/sleep')

    def namespaces(self):
        return []

    def undo(self):
        self.run('pod-end')
        shutil.rmtree(f'{PLACE}/pod', ignore_errors=True)


class PodStart(Pod):
    """Its supervisor, an app, until the app runs."""
    name = action = 'pod-start'
    stays = True

    def landed(self):
        return 'sleep' in sh('ps -A -o args')


class PodRun(Pod):
    """An app that says a word and ends; the pod is stopped."""
    name = action = 'pod-run'
    stays = True

    def landed(self):
        with open(f'{PLACE}/log') as f:
            return 'said' in f.read()

    def undo(self):
        super().undo()
        if os.path.exists(f'{PLACE}/log'):
            os.unlink(f'{PLACE}/log')


class PodEnd(Pod):
    """Of a pod that runs."""
    name = action = 'pod-end'

    def prepare(self):
        self.run('pod-start')

    def landed(self):
        return 'sleep' not in sh('ps -A -o args')


# ---- a node ----

class Node(Case):
    """tests/faults/node: a node agent starts, runs a pod, loses it, and ends. An API server is there all the time."""
    name = 'node'
    # libuv ends the process when it has no threads, no memory for what it waits for, or no pipe for its signals.
    skip = Case.skip | {'clone3', 'epoll_ctl', 'epoll_wait', 'epoll_pwait', ('pipe2', 1), ('write', 1)}

    def script(self, action, *words):
        return ['bash', f'{os.path.dirname(os.path.abspath(__file__))}/node', action, PLACE, self.group, *words]

    def run(self, action):
        p = subprocess.run(self.script(action), capture_output=True, text=True, env=self.env())
        assert p.returncode == 0, f'node {action}: {p.stdout[-400:]}{p.stderr[-400:]}'

    def env(self):
        return {**os.environ, 'KNARR_BUILD': self.build}

    def set_up(self):
        super().set_up()
        self.run('begin')

    def tear_down(self):
        self.run('end')
        super().tear_down()

    def traced(self, strace):
        # The agent is the script's own child, not strace's. What it starts is left alone: each plugin and each supervisor
        # would have a fault of its own, at every attempt.
        return self.script('act', *strace, '-D', '-b', 'execve')

    def undo(self):
        self.run('undo')

    def may_stay(self, line):
        """The server's files change, the logs grow, and the server's own process is there."""
        return bool(re.search(r'process knarr-server|file /tmp/place/(?!.*/(netns|pods)/)', line))

    def landed(self):
        return 'the pod ran' in self.out

    def says_why(self, out):
        """A pod that does not run is fine only if each attempt met the fault."""
        return ('not in time' not in out or self.injected > 1) and super().says_why(out)


def all_cases(build):
    return [c(build) for c in (BridgeAdd, BridgeDel, BridgeCheck, BridgeCheckBroken, HostLocalAdd, HostLocalAddTwice, HostLocalDel,
                               HostLocalCheckBroken, HostLocalGc, LoopbackAdd, LoopbackCheckBroken, PortmapAdd, PortmapDel,
                               PortmapCheckBroken, ChainAdd, ChainDel, ChainCheckBroken, ImageImport, ImageRemove, ImageList,
                               PodStart, PodRun, PodEnd, Node)]
