"""browser.py - a headless Chromium, driven over the DevTools protocol through two pipes.

    with Browser() as b:
        b.open('http://127.0.0.1:9090/graph')
        b.wait("document.querySelector('table')")

Collects what the console said and which addresses were asked: b.errors, b.requests."""
import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

DEADLINE = int(os.environ.get('PATIENCE', 15))  # seconds, for everything that is waited for
KEYS = {'Enter': (13, '\r'), 'Tab': (9, ''), 'Escape': (27, ''), 'ArrowDown': (40, ''), 'ArrowUp': (38, ''), ' ': (32, ' '),
        'Backspace': (8, '')}
CTRL, SHIFT = 2, 8


class Failed(Exception):
    pass


def pipe():
    """Ends whose numbers are none of those that the browser wants them to have."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in ends)
    for fd in ends:
        os.close(fd)
    return high


class Browser:
    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix='knarr-browser-')
        from_us, self.to = pipe()
        self.fd, to_us = pipe()
        command = ['chromium', '--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
                   '--disable-background-networking', '--disable-component-update', '--disable-sync', '--disable-extensions',
                   '--hide-scrollbars', '--force-color-profile=srgb', '--remote-debugging-pipe', f'--user-data-dir={self.dir}']
        # The protocol's pipes are to be the descriptors 3 and 4.
        script = f'exec "$@" 3<&{from_us} 4>&{to_us} {from_us}<&- {to_us}>&-'
        self.process = subprocess.Popen(['bash', '-c', script, 'chromium', *command], pass_fds=(from_us, to_us), start_new_session=True,
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        env={**os.environ, 'HOME': self.dir})
        os.close(from_us)
        os.close(to_us)
        self.rest, self.number, self.session = b'', 0, None
        self.errors, self.requests, self.events = [], [], []
        try:
            target = self.send('Target.createTarget', url='about:blank')['targetId']
            self.session = self.send('Target.attachToTarget', targetId=target, flatten=True)['sessionId']
            for domain in ('Page', 'Runtime', 'Network', 'Log'):
                self.send(f'{domain}.enable')
            self.look(1280, 900)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.session = None
            self.send('Browser.close')
            self.process.wait(5)
        except (OSError, Failed, subprocess.TimeoutExpired):
            pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()
        os.close(self.fd)
        os.close(self.to)
        for _ in range(20):  # its last children may still write
            shutil.rmtree(self.dir, ignore_errors=True)
            if not os.path.exists(self.dir):
                break
            time.sleep(0.1)

    # ---- the protocol ----

    def read(self, until):
        while b'\0' not in self.rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise Failed('the browser does not answer')
            more = os.read(self.fd, 1 << 20)
            if not more:
                raise Failed('the browser has ended')
            self.rest += more
        message, self.rest = self.rest.split(b'\0', 1)
        return json.loads(message)

    def event(self, method, p):
        if method == 'Runtime.exceptionThrown':
            self.errors.append(p['exceptionDetails'].get('exception', {}).get('description') or p['exceptionDetails']['text'])
        elif method == 'Runtime.consoleAPICalled' and p['type'] in ('error', 'assert', 'warning'):
            self.errors.append(' '.join(str(a.get('value', a.get('description', ''))) for a in p['args']))
        elif method == 'Log.entryAdded' and p['entry']['level'] in ('error', 'warning'):
            self.errors.append(f"{p['entry']['text']} {p['entry'].get('url', '')}")
        elif method == 'Network.requestWillBeSent':
            self.requests.append((p['request']['method'], p['request']['url']))
        elif method == 'Network.loadingFailed' and p.get('canceled'):
            self.events.append('canceled')
        elif method == 'Page.loadEventFired':
            self.events.append('load')

    def send(self, method, **params):
        self.number += 1
        message = {'id': self.number, 'method': method, 'params': params}
        if self.session:
            message['sessionId'] = self.session
        os.write(self.to, json.dumps(message).encode() + b'\0')
        until = time.monotonic() + DEADLINE
        while True:
            got = self.read(until)
            if got.get('id') == self.number:
                if 'error' in got:
                    raise Failed(f"{method}: {got['error']['message']}")
                return got['result']
            if 'method' in got:
                self.event(got['method'], got['params'])

    # ---- what a person does ----

    def look(self, width, height, dark=False):
        self.send('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=False)
        self.send('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}])

    def open(self, url):
        self.events.clear()
        self.send('Page.navigate', url=url)
        until = time.monotonic() + DEADLINE
        while 'load' not in self.events:
            got = self.read(until)
            if 'method' in got:
                self.event(got['method'], got['params'])

    def eval(self, script):
        got = self.send('Runtime.evaluate', expression=script, awaitPromise=True, returnByValue=True)
        if 'exceptionDetails' in got:
            raise Failed(f"{script}: {got['exceptionDetails'].get('exception', {}).get('description')}")
        return got['result'].get('value')

    def wait(self, script):
        """Until the script gives something true, which is returned."""
        until = time.monotonic() + DEADLINE
        while True:
            value = self.eval(f'(async () => {{ const v = await ({script}); return v instanceof Node || v; }})()')
            if value:
                return value
            if time.monotonic() > until:
                raise Failed(f"not in time: {script}\n{self.eval('document.body.innerText')}\n{self.errors}")
            time.sleep(0.03)

    def key(self, name, modifiers=0):
        code, text = KEYS[name]
        key = {'key': name, 'code': 'Space' if name == ' ' else name, 'windowsVirtualKeyCode': code, 'modifiers': modifiers}
        self.send('Input.dispatchKeyEvent', type='keyDown', text='' if modifiers & CTRL else text, **key)
        self.send('Input.dispatchKeyEvent', type='keyUp', **key)

    def type(self, text):
        for c in text:
            self.send('Input.dispatchKeyEvent', type='keyDown', key=c, text=c)
            self.send('Input.dispatchKeyEvent', type='keyUp', key=c)

    def mouse(self, kind, x, y, pressed=False, modifiers=0):
        self.send('Input.dispatchMouseEvent', type=kind, x=x, y=y, button='left' if pressed else 'none',
                  buttons=1 if pressed and kind != 'mouseReleased' else 0, clickCount=1 if pressed and kind != 'mouseMoved' else 0,
                  modifiers=modifiers)

    def place(self, selector):
        return self.wait(f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null; e.scrollIntoView("
                         "{block: 'center'}); const r = e.getBoundingClientRect(); return r.width ? [r.left, r.top, r.width, r.height] "
                         ": null; })()")

    def click(self, selector, modifiers=0):
        x, y, w, h = self.place(selector)
        at = (x + w / 2, y + h / 2)
        self.mouse('mouseMoved', *at)
        self.mouse('mousePressed', *at, pressed=True, modifiers=modifiers)
        self.mouse('mouseReleased', *at, pressed=True, modifiers=modifiers)

    def drag(self, selector, start, end):
        """Across the element, from one share of its width to another."""
        x, y, w, h = self.place(selector)
        self.mouse('mouseMoved', x + w * start, y + h / 2)
        self.mouse('mousePressed', x + w * start, y + h / 2, pressed=True)
        for i in range(1, 6):
            self.mouse('mouseMoved', x + w * (start + (end - start) * i / 5), y + h / 2, pressed=True)
        self.mouse('mouseReleased', x + w * end, y + h / 2, pressed=True)

    def picture(self, path):
        with open(path, 'wb') as f:
            f.write(base64.b64decode(self.send('Page.captureScreenshot', format='png')['data']))
