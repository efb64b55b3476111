#!/usr/bin/env python3
"""page.py - what people do on the monitor's page, each a function: page.py NAME URL [ARGUMENT…]

Exits with 1 and says why when something is not as it should be. After each, the console has said nothing and nothing of
another host was asked for."""
import json
import signal
import sys
import time
from urllib.parse import quote, unquote_plus, urlsplit

from browser import CTRL, SHIFT, Browser, Failed

ROWS = 'document.querySelectorAll(".result tbody tr").length'
EXPR = 'document.querySelector("textarea.expr").value'
POPUP = '!document.querySelector(".popup").hidden'


def check(got, what, *more):
    if not got:
        raise Failed(' '.join([what, *map(repr, more)]))


def text(b, selector):
    return b.wait(f'document.querySelector({json.dumps(selector)})?.innerText')


def graph(b, url, expr, **more):
    b.open(f'{url}/graph?g0.expr={quote(expr)}' + ''.join(f'&g0.{k}={quote(str(v))}' for k, v in more.items()))


def asked(b, path):
    return [u for m, u in b.requests if f'/api/v1/{path}' in u]


def expression(b, url):
    """Typing an expression and Enter gives a table; a click on the other tab a graph, and the address says so."""
    b.open(f'{url}/')
    b.wait('document.activeElement.tagName === "TEXTAREA"')
    check(urlsplit(b.eval('location.href')).path.endswith('/graph'), 'the root does not lead to the graph')
    b.type('sum by (job) (up)')
    b.key('Escape')
    b.key('Enter')
    b.wait(f'{ROWS} === 1')
    check(text(b, '.result .series') == '{job="self"}', 'series')
    check(text(b, '.result td.value') == '1', 'value')
    address = unquote_plus(b.eval('location.search'))
    check('g0.expr=sum by (job) (up)' in address and 'g0.tab=1' in address and 'g0.range_input=1h' in address, 'address', address)
    b.click('.tab:nth-child(2)')
    b.wait('document.querySelector(".plot canvas")')
    check(b.wait('''(() => { const c = document.querySelector(".plot canvas"); const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        let n = 0; for (let i = 3; i < d.length; i += 4) if (d[i]) n++; return n; })()''') > 100, 'nothing is drawn')
    check('g0.tab=0' in b.eval('location.search'), 'the tab is not in the address')
    b.eval('history.back()')
    b.wait(f'{ROWS} === 1')
    b.key('Enter', SHIFT)  # in the field that has the focus again only after a click
    b.click('textarea.expr')
    b.key('Enter', SHIFT)
    check('\n' in b.eval(EXPR), 'Shift-Enter begins no line')


def address(b, url):
    """Both forms of Prometheus' links are understood, with several panels; panels are added and removed."""
    b.open(f'{url}/query?g0.expr=up&g0.tab=table&g1.expr=up%20%3E%200&g1.tab=graph&g1.display_mode=stacked&g1.range_input=30m&g1.res_type=fixed&g1.res_step=15'
           '&g2.expr=1&g2.tab=0&g2.stacked=1&g2.step_input=60&g2.range_input=2h&g2.end_input=2026-01-02%2003%3A04%3A05')
    b.wait('document.querySelectorAll(".panel").length === 3 && document.querySelectorAll(".plot canvas").length')
    b.wait('document.querySelectorAll(".panel.loading").length === 0')
    value = 'document.querySelectorAll(".panel")[{}].querySelector("{}").value'
    check(b.eval(value.format(1, '.range')) == '30m', 'range')
    check(b.eval(value.format(1, '.step')) == '15s', 'res_step')
    check(b.eval(value.format(2, '.step')) == '1m', 'step_input')
    check(b.eval(value.format(2, '.time')) == '2026-01-02 03:04:05', 'end_input')
    check(b.eval('document.querySelectorAll(".panel .group .on").length') == 2 and
          b.eval('[...document.querySelectorAll(".panel .group .on")].every((e) => e.innerText === "Stacked")'), 'stacked')
    b.click('.add')
    b.wait('document.querySelectorAll(".panel").length === 4')
    b.click('.panel:nth-child(2) .close')
    b.wait('document.querySelectorAll(".panel").length === 3')
    check('g1.expr=1&' in b.eval('location.search'), 'the address keeps a panel that was removed', b.eval('location.search'))


def mistake(b, url):
    """A mistake is told with its place, which is marked in the expression."""
    graph(b, url, 'sum(up) +\n  rate(up[5m) ')
    check(text(b, '.message.error').startswith('Parse error at 2:'), 'error', text(b, '.message.error'))
    place = text(b, '.message.error').split('at ')[1].split(' ')[0]
    marked = b.eval('document.querySelector(".copy .wrong").textContent')
    before = b.eval('(() => { const r = document.createRange(); r.setStart(document.querySelector(".copy"), 0); '
                    'r.setEndBefore(document.querySelector(".copy .wrong")); return r.toString(); })()')
    check(before.count('\n') == 1 and marked, 'mark', place, marked, before)
    b.errors[:] = [e for e in b.errors if 'status of 400' not in e]
    b.click('textarea.expr')
    b.type('x')
    b.wait('!document.querySelector(".copy .wrong")')


def notes(b, url):
    """Warnings and infos of an answer are shown."""
    graph(b, url, 'rate(up[5m])')
    check('might not be a counter' in text(b, '.message.info'), 'info')
    graph(b, url, 'quantile(2, up)')
    check('between 0 and 1' in text(b, '.message.warning'), 'warning')


def completion(b, url):
    """By keyboard alone: functions, metrics with their help, labels in braces and lists, values."""
    b.open(f'{url}/graph')
    b.wait('document.activeElement.tagName === "TEXTAREA"')
    b.key(' ', CTRL)
    b.wait(f'{POPUP} && document.querySelectorAll(".item").length > 20')
    b.key('Escape')
    b.wait('document.querySelector(".popup").hidden')
    b.type('histogram_qu')
    b.wait(f'{POPUP} && document.querySelector(".item.selected .text").innerText === "histogram_quantile"')
    check('φ scalar' in text(b, '.item.selected .detail') and 'quantile' in text(b, '.popup .help'), 'signature and help')
    b.key('ArrowDown')
    b.wait('document.querySelector(".item.selected .text").innerText === "histogram_quantiles"')
    b.key('ArrowUp')
    b.wait('document.querySelector(".item.selected .text").innerText === "histogram_quantile"')
    b.key('Enter')
    check(b.eval(EXPR) == 'histogram_quantile(', 'a function that was taken', b.eval(EXPR))
    b.type('0.9, prometheus_build')
    b.wait(f'{POPUP} && document.querySelector(".item.selected .text").innerText === "prometheus_build_info"')
    check(text(b, '.item.selected .detail') == 'gauge' and text(b, '.popup .help'), 'type and help of a metric')
    b.key('Tab')
    b.type('{')
    b.wait(f'{POPUP} && [...document.querySelectorAll(".item .text")].some((e) => e.innerText === "instance")')
    b.type('jo')
    b.wait('document.querySelector(".item.selected .text").innerText === "job"')
    b.key('Enter')
    b.type('="')
    b.wait(f'{POPUP} && document.querySelector(".item.selected .text").innerText === "self"')
    b.key('Enter')
    check(b.eval(EXPR) == 'histogram_quantile(0.9, prometheus_build_info{job="self"', 'labels', b.eval(EXPR))
    b.eval('(() => { const t = document.querySelector("textarea.expr"); t.value = "sum by () (up)"; t.setSelectionRange(8, 8); '
           't.dispatchEvent(new Event("input")); })()')
    b.wait(f'{POPUP} && [...document.querySelectorAll(".item .text")].map((e) => e.innerText).join() === "instance,job"')
    b.key('ArrowDown')
    b.key('Enter')
    check(b.eval(EXPR) == 'sum by (job) (up)', 'labels of by', b.eval(EXPR))
    b.key('Enter')
    b.wait(f'{ROWS} === 1')
    # A list of a moment ago is not taken where more was typed since.
    b.eval('(() => { const t = document.querySelector("textarea.expr"); t.value = "sum by ("; t.setSelectionRange(8, 8); '
           't.dispatchEvent(new Event("input")); })()')
    b.wait(POPUP)
    b.eval('(() => { const t = document.querySelector("textarea.expr"); t.value = "sum by (job) (up)"; t.setSelectionRange(17, 17); '
           't.dispatchEvent(new Event("input")); t.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", cancelable: true })); })()')
    check(b.eval(EXPR) == 'sum by (job) (up)', 'a stale list was taken', b.eval(EXPR))


def drawing(b, url):
    """A graph's legend, hover and zoom."""
    graph(b, url, 'prometheus_http_requests_total', tab=0, range_input='5m')
    b.wait('document.querySelectorAll(".entry").length > 2')
    b.click('.entry:nth-child(2)')
    b.wait('document.querySelectorAll(".entry:not(.off)").length === 1')
    b.click('.entry:nth-child(3)', CTRL)
    b.wait('document.querySelectorAll(".entry:not(.off)").length === 2')
    b.click('.entry:nth-child(3)', CTRL)
    b.click('.entry:nth-child(2)')
    b.wait('document.querySelectorAll(".entry.off").length === 0')
    x, y, w, h = b.place('.stage')
    for step in range(3):  # up to the newest samples
        b.mouse('mouseMoved', x + w - 12 + step, y + h / 2)
    b.wait('!document.querySelector(".tip").hidden')
    check('prometheus_http_requests_total{' in text(b, '.tip') and 'UTC' in text(b, '.tip'), 'tip', text(b, '.tip'))
    b.drag('.stage', 0.5, 0.75)
    b.wait('location.search.includes("g0.end_input")')
    b.wait('!document.querySelector(".range").value.includes("5m")')
    check(60 <= seconds(b.eval('document.querySelector(".range").value')) <= 90, 'range', b.eval('document.querySelector(".range").value'))


def exemplars(b, url):
    """Exemplars are marks in the graph that tell their labels."""
    graph(b, url, 'rate(work_total[10s])', tab=0, range_input='1m')
    b.wait('document.querySelector(".plot canvas")')
    b.click('.controls > button')
    until = time.monotonic() + 15
    while not b.eval('document.querySelectorAll(".marks i").length'):
        check(time.monotonic() < until, 'no exemplar is shown')
        b.click('.run')
        time.sleep(0.2)
    check('trace_id="abc"' in b.eval('document.querySelector(".marks i").title'), 'labels')
    check('g0.show_exemplars=1' in b.eval('location.search'), 'address')


def seconds(duration):
    total, number = 0, ''
    for c in duration:
        if c.isdigit():
            number += c
        else:
            total += int(number) * {'s': 1, 'm': 60, 'h': 3600}[c]
            number = ''
    return total


def targets(b, url):
    """Targets by pool with their health and errors; those that were dropped; the filter."""
    b.open(f'{url}/graph')
    b.click('nav a[href="targets"]')
    b.wait('document.querySelectorAll(".targets tbody tr").length === 2')
    check('1 / 1 up' in text(b, '.content') and '0 / 1 up' in text(b, '.content'), 'pools')
    check('refused' in text(b, '.why'), 'the error of a target', text(b, '.why'))
    b.wait('document.body.innerText.includes("discovery http/0: server returned HTTP status 404 Not Found")')
    check(b.eval('location.pathname').endswith('/targets'), 'address')
    b.click('.check input')
    b.wait('document.body.innerText.includes("Dropped by relabelling")')
    b.click('input.filter')
    b.type('nothing like it')
    b.wait('document.querySelectorAll(".targets tbody tr").length === 0 && document.querySelector(".message.note")')


def staying(b, url):
    """Queries are still there after a look at another page."""
    graph(b, url, 'vector(7)')
    check('7' in text(b, '.result td.value'), 'value')
    b.click('nav a[href="flags"]')
    b.wait('document.querySelector(".facts")')
    b.click('nav a')
    b.wait(f'{ROWS} === 1 && {EXPR} === "vector(7)"')


def rules(b, url):
    """Rules with health and expressions that lead to the graph; alerts with labels, annotations and value."""
    b.open(f'{url}/rules')
    b.wait('document.querySelectorAll(".rule").length === 3')
    b.wait('document.querySelector(".badge.good")')
    b.click('.rule .query')
    b.wait('document.querySelector(".panel")')
    check(urlsplit(b.eval('location.href')).path.endswith('/graph'), 'the expression does not lead to the graph')
    b.eval('history.back()')
    b.wait('document.querySelectorAll(".rule").length === 3')
    b.open(f'{url}/alerts')
    row = '[...document.querySelectorAll(".alerts tbody tr")].map((r) => r.innerText).find((t) => t.includes("firing"))'
    until = time.monotonic() + 15
    while not b.eval(row):
        check(time.monotonic() < until, 'no alert fires', b.eval('document.body.innerText'))
        b.click('.head > button:last-child')
        time.sleep(0.2)
    check('127.0.0.1:1 is down <i>' in b.eval(row) and 'severity="page"' in b.eval(row), 'alert', b.eval(row))
    check(b.eval('document.querySelector(".alerts i")') is None, 'an annotation became an element')
    b.click('.group button:nth-child(3)')
    b.wait('!document.body.innerText.includes("is down") && document.body.innerText.includes("Never")')


def status(b, url):
    """Figures of the database, flags, configuration, runtime."""
    b.open(f'{url}/tsdb-status')
    b.wait('document.querySelectorAll(".top tr").length > 10')
    check(int(text(b, '.card b').replace(',', '')) > 10, 'series')
    b.open(f'{url}/flags')
    b.click('input.filter')
    b.type('storage.tsdb.path')
    b.wait('document.querySelectorAll(".facts tr").length === 1')
    b.open(f'{url}/config')
    check('scrape_configs:' in text(b, '.yaml'), 'configuration')
    b.open(f'{url}/status')
    check('Storage retention' in text(b, '.content'), 'runtime')


def escaping(b, url):
    """What stands in labels stays text: in tables, legends, tips and completions."""
    bad = '<img src=x onerror=window.hurt=1>'
    graph(b, url, 'evil')
    b.wait(f'{ROWS} === 1')
    check(bad in text(b, '.result'), 'label')
    graph(b, url, 'evil', tab=0, range_input='1m')
    b.wait('document.querySelector(".entry")')
    x, y, w, h = b.place('.stage')
    for step in range(3):
        b.mouse('mouseMoved', x + w - 12 + step, y + h / 2)
    b.wait('!document.querySelector(".tip").hidden')
    check(bad in text(b, '.tip') and bad in text(b, '.entry'), 'tip and legend')
    b.click('textarea.expr')
    b.type('{x="')
    b.wait(f'{POPUP} && document.querySelector(".item .text").innerText === {json.dumps(bad)}')
    b.key('Enter')
    check(b.eval('window.hurt === undefined && document.querySelectorAll("main img").length === 0'), 'text became an element')


def many(b, url, n):
    """A table of many series shows some, says so, and shows more."""
    graph(b, url, 'many')
    b.wait(f'{ROWS} === 500')
    check(f'500 of {int(n):,}' in text(b, '.more'), 'note', text(b, '.more'))
    b.click('.more button')
    b.wait(f'{ROWS} === 1000')
    graph(b, url, 'many', tab=0)
    b.wait('document.querySelectorAll(".entry").length === 50')
    check(f'200 of {int(n):,} series are drawn' in text(b, '.graph'), 'note of the graph')


def histograms(b, url):
    """A native histogram in the table: count, sum and buckets."""
    graph(b, url, '{__name__=~"size.*"}')
    b.wait('document.querySelectorAll(".histogram .bucket").length > 1')
    check('count' in text(b, '.histogram .sums') and 'sum' in text(b, '.histogram .sums'), 'sums')


def cancelling(b, url):
    """A query that runs is given up when another begins."""
    b.open(f'{url}/graph')
    b.wait('document.activeElement.tagName === "TEXTAREA"')
    slow = ' + '.join(['count(last_over_time({__name__=~".+"}[5m:1s]))'] * 40)
    b.eval(f'(() => {{ const t = document.querySelector("textarea.expr"); t.value = {json.dumps(slow)}; t.dispatchEvent(new Event("input")); }})()')
    b.key('Escape')
    b.key('Enter')
    b.wait('document.querySelector(".panel.loading")')
    b.eval('(() => { const t = document.querySelector("textarea.expr"); t.value = "1 + 1"; t.dispatchEvent(new Event("input")); })()')
    b.key('Enter')
    check('2' in text(b, '.single'), 'the second answer')
    b.wait('!document.querySelector(".panel.loading")')
    check('canceled' in b.events, 'the first query was not given up')


def main():
    name, url, *more = sys.argv[1:]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the browser ends with us
    with Browser() as b:
        globals()[name](b, url, *more)
        check(not b.errors, 'the console says', b.errors)
        host = urlsplit(url).netloc
        away = [u for _, u in b.requests if urlsplit(u).scheme not in ('data', 'blob') and urlsplit(u).netloc != host]
        check(not away, 'asked elsewhere:', away)


try:
    main()
except Failed as e:
    print(f'page.py: {e}', file=sys.stderr)
    sys.exit(1)
