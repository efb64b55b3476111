#!/usr/bin/env python3
"""generate_queries.py SEED N - prints N random PromQL queries about the samples of write_samples.py, one a line.

The same SEED gives the same queries. They use what Prometheus 2.42 knows: matchers of all kinds, offsets, @, ranges, subqueries,
its functions, aggregations and operators, up to four deep. About one in ten must fail: a wrong type, an unknown name, a
many-to-many match. Ranges end in half a second, so that neither a sample nor a subquery's step lies on a left edge."""
import random
import sys

GAUGES = ("temp_celsius", "queue_length", "seldom")
COUNTERS = ("req_total", "late_bytes_total", "req_seconds_count", "req_seconds_sum", "req_seconds_bucket")
VALUES = {"instance": ("a:80", "b:80", "c:80"), "job": ("app",), "code": ("200", "404", "500"), "path": ("/", "/api"),
          "zone": ("east", "west"), "le": ("0.1", "0.25", "1", "5", "+Inf"), "version": ("1.0", "1.1"), "mode": ("slow",)}
OF_METRIC = {"req_total": ("code", "path"), "temp_celsius": ("zone",), "queue_length": (), "seldom": (),
             "late_bytes_total": ("mode",), "build_info": ("version",), "req_seconds_bucket": ("le", "path"),
             "extreme": (), "req_seconds_count": ("path",), "req_seconds_sum": ("path",)}
MATH = ("abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "deg", "exp", "floor", "ln", "log10",
        "log2", "rad", "sgn", "sin", "sinh", "sqrt", "tan", "tanh", "sort", "sort_desc", "timestamp", "absent",
        "histogram_count", "histogram_sum")
DATES = ("day_of_month", "day_of_week", "day_of_year", "days_in_month", "hour", "minute", "month", "year")
OVER_TIME = ("avg_over_time", "min_over_time", "max_over_time", "sum_over_time", "count_over_time", "last_over_time",
             "present_over_time", "stddev_over_time", "stdvar_over_time", "changes", "delta", "deriv", "idelta", "resets",
             "absent_over_time")
RATES = ("rate", "increase", "irate", "resets", "changes")
AGGREGATES = ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")
ARITHMETIC = ("+", "-", "*", "/", "%", "^", "atan2")
COMPARE = ("==", "!=", ">", "<", ">=", "<=")


class Queries:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pick = self.random.choice

    def chance(self, part):
        return self.random.random() < part

    # ---- selectors

    def matcher(self, label):
        value, other = self.pick(VALUES[label]), self.pick(VALUES[label])
        escaped = value.replace("+", "\\\\+").replace(".", "\\\\.")
        return self.pick((f'{label}="{value}"', f'{label}!="{value}"', f'{label}=~"{escaped}|.*{other[-1]}"',
                          f'{label}!~"{escaped}.*"', f'{label}=~".+"', f'{label}!=""', f'{label}=""', f'{label}=~".*"'))

    def selector(self, metrics):
        metric = self.pick(metrics)
        labels = [x for x in ("instance", "job", *OF_METRIC[metric]) if self.chance(0.25)]
        matchers = [self.matcher(x) for x in labels]
        if self.chance(0.08):
            return "{" + ",".join([f'__name__=~"{metric[:-1]}."', *matchers]) + "}"
        if self.chance(0.03):
            matchers.append('nothing="here"')
        return metric + ("{" + ",".join(matchers) + "}" if matchers or self.chance(0.05) else "")

    def when(self):
        at = self.pick(("", "", "", " @ start()", " @ end()", f" @ {1700006400 + self.random.randrange(14400)}",
                        f" @ {1700006400 + self.random.randrange(14400)}.7"))
        offset = self.pick(("", "", "", f" offset {self.random.randrange(1, 90)}m", f" offset -{self.random.randrange(1, 600)}s",
                            " offset 1h7m13s"))
        return self.pick((at + offset, offset + at)) if self.chance(0.4) else ""

    def window(self):
        return self.pick(("37s500ms", "1m500ms", "2m30s500ms", "5m500ms", "11m500ms", "30m500ms", "1h500ms"))

    def matrix(self, depth, metrics):
        if depth <= 0 or self.chance(0.75):
            return f"{self.selector(metrics)}[{self.window()}]{self.when()}"
        step = self.pick(("", "", "13s", "1m", "2m", "7m"))
        inner = self.vector(depth - 1)
        return f"({inner})[{self.pick(('10m500ms', '17m500ms', '31m500ms'))}:{step}]{self.when()}"

    # ---- by type

    def number(self):
        return self.pick(("0", "1", "2", "-1", "0.5", "3", "10", "1e3", "100", "-0.25", "7", "1.5e-3", "Inf", "-Inf", "NaN"))

    def scalar(self, depth):
        if depth <= 0 or self.chance(0.5):
            return self.pick((self.number(), self.number(), "time()", "pi()"))
        return self.pick((lambda: f"scalar({self.vector(depth - 1)})",
                          lambda: f"({self.scalar(depth - 1)} {self.pick(ARITHMETIC)} {self.scalar(depth - 1)})",
                          lambda: f"({self.scalar(depth - 1)} {self.pick(COMPARE)} bool {self.scalar(depth - 1)})",
                          lambda: f"-{self.scalar(depth - 1)}"))()

    def vector(self, depth):
        if depth <= 0 or self.chance(0.1):
            return self.selector((*GAUGES, *COUNTERS, *GAUGES, "build_info", "extreme")) + self.when()
        kinds = (self.math, self.over_time, self.over_time, self.rate, self.rate, self.aggregate, self.aggregate, self.aggregate,
                 self.binary, self.binary, self.binary, self.with_scalar, self.labels, self.other)
        return self.pick(kinds)(depth)

    def math(self, depth):
        inner = self.vector(depth - 1)
        if self.chance(0.2):
            date = self.pick(DATES)
            return self.pick((f"{date}()", f"{date}({inner})", f"{date}(timestamp({inner}))"))
        return f"{self.pick(MATH)}({inner})"

    def over_time(self, depth):
        inner = self.matrix(depth, GAUGES)
        return self.pick((lambda: f"{self.pick(OVER_TIME)}({inner})", lambda: f"{self.pick(OVER_TIME)}({inner})",
                          lambda: f"quantile_over_time({self.pick(('0.1', '0.5', '0.99', '-1', '2', 'NaN'))}, {inner})",
                          lambda: f"predict_linear({inner}, {self.pick(('60', '-600', '3600'))})"))()

    def rate(self, depth):
        return f"{self.pick(RATES)}({self.matrix(0, COUNTERS)})"

    def distinct(self):
        """No two values are the same, or no numbers: which of them topk takes is not defined."""
        return self.pick((f"{self.selector(('late_bytes_total', 'req_seconds_sum'))}{self.when()}",
                          f"rate(req_seconds_sum[{self.window()}]{self.when()})",
                          f"avg_over_time(late_bytes_total[{self.window()}]{self.when()})"))

    def whole(self):
        """Values whose text does not depend on the last bit. (2.42 mixes labels up unless the new one sorts last.)"""
        return self.pick((f"{self.selector(('temp_celsius', 'queue_length', 'req_seconds_bucket', 'build_info'))}{self.when()}",
                          f"{self.pick(('changes', 'resets', 'count_over_time'))}({self.matrix(0, COUNTERS)})"))

    def grouping(self):
        labels = self.random.sample(tuple(VALUES), self.random.randrange(4))
        return self.pick(("", f" by ({', '.join(labels)})", f" without ({', '.join(labels)})", f" by ({', '.join(labels)})"))

    def aggregate(self, depth):
        inner, by = self.vector(depth - 1), self.grouping()
        distinct, whole = self.distinct(), self.whole()
        parameter = lambda name, p, of=inner: f"{name}{by} ({p}, {of})"
        return self.pick((lambda: f"{self.pick(AGGREGATES)}{by} ({inner})", lambda: f"{self.pick(AGGREGATES)} ({inner}){by}",
                          lambda: f"{self.pick(AGGREGATES)}{by} ({inner})",
                          lambda: parameter(self.pick(("topk", "bottomk")), self.pick(("1", "2", "3", "0", "-1", "100")),
                                            distinct),
                          lambda: parameter("quantile", self.pick(("0.5", "0.9", "0", "1", "-0.1", "1.5", "NaN"))),
                          lambda: parameter("count_values", '"zzz"', whole)))()

    def binary(self, depth):
        op = self.pick((*ARITHMETIC, *COMPARE, *COMPARE[:3], "and", "or", "unless"))
        boolean = " bool" if op in COMPARE and self.chance(0.4) else ""
        kind = self.random.randrange(6)
        if op in ("and", "or", "unless"):
            match = self.pick(("", " on (instance)", " ignoring (code, path, zone)", " on ()", " on (instance, path)"))
            return f"({self.vector(depth - 1)} {op}{match} {self.vector(depth - 1)})"
        if kind == 0:
            one = self.vector(depth - 1)
            return f"({one} {op}{boolean} {one})"
        if kind < 3:
            left, right = (f"{self.pick(AGGREGATES)} by (instance) ({self.vector(depth - 1)})" for _ in range(2))
            match = self.pick(("", " on (instance)", " ignoring (zone)"))
            return f"({left} {op}{boolean}{match} {right})"
        many, one = self.vector(depth - 1), f"{self.pick(AGGREGATES)} by (instance) ({self.vector(depth - 1)})"
        extra = self.pick(("", "()", " (job)", " (version)"))
        if kind == 3:
            return f"({many} {op}{boolean} on (instance) group_left{extra} {one})"
        if kind == 4:
            return f"({one} {op}{boolean} on (instance) group_right{extra} {many})"
        return f"({many} {op}{boolean} ignoring (job, code, path, zone, le, mode, version) group_left{extra} {one})"

    def with_scalar(self, depth):
        op = self.pick((*ARITHMETIC, *COMPARE))
        boolean = " bool" if op in COMPARE and self.chance(0.4) else ""
        sides = [self.vector(depth - 1), self.scalar(depth - 1)]
        self.random.shuffle(sides)
        return self.pick((f"({sides[0]} {op}{boolean} {sides[1]})", f"-({self.vector(depth - 1)})"))

    def labels(self, depth):
        inner = self.vector(depth - 1)
        return self.pick((f'label_replace({inner}, "host", "$1-x", "instance", "(.):.*")',
                          f'label_replace({inner}, "instance", "", "instance", ".*")',
                          f'label_replace({inner}, "host", "${{p}}", "path", "(?P<p>/a).*")',
                          f'label_join({inner}, "all", "-", "instance", "path")', f'label_join({inner}, "none", ",")'))

    def other(self, depth):
        inner = self.vector(depth - 1)
        by = self.pick(("sum by (le)", "sum by (le, instance)", "avg without (path)"))
        q = self.pick(("0.5", "0.9", "0.99", "0", "1", "-1", "2", "NaN"))
        return self.pick((lambda: f"histogram_quantile({q}, {by} (rate(req_seconds_bucket[{self.window()}]{self.when()})))",
                          lambda: f"histogram_quantile({q}, req_seconds_bucket{self.when()})",
                          lambda: f"vector({self.scalar(depth - 1)})", lambda: f"clamp({inner}, {self.number()}, {self.number()})",
                          lambda: f"clamp_min({inner}, {self.scalar(depth - 1)})",
                          lambda: f"clamp_max({inner}, {self.scalar(depth - 1)})",
                          lambda: f"round({inner}, {self.pick(('5', '0.1', '0.25', '100'))})", lambda: f"round({inner})"))()

    # ---- what fails

    def wrong(self, depth):
        vector, matrix = self.vector(depth - 1), self.matrix(0, COUNTERS)
        return self.pick((f"rate({vector})", f"sum({matrix})", f"{matrix} + 1", f"nothing_like_it({vector})", f"abs({matrix})",
                          f"-{matrix}", f"{vector} and 1", f"1 < 2", f"1 unless {vector}", f"topk({vector}, {vector})",
                          f"req_total * queue_length{{}} + on (job) req_total", f"queue_length + on (job) req_total",
                          "req_total / on (instance) req_seconds_count", "req_total{code=~\"(\"}", "{}", '{instance=~".*"}',
                          f"scalar({self.scalar(0)})", f"sum by (1a) ({vector})", f"({vector}", f"{vector})", f"time(1)",
                          f"histogram_quantile({vector})", f"count_values(1, {vector})", f"label_replace({vector}, \"a\")",
                          f"{vector}[5m] offset", f"{matrix} offset 5", "req_total[5y500q]", "req_total offset 1m offset 2m",
                          "req_total @ now()", "sum by (instance) (queue_length) + group_left queue_length",
                          f"{vector} bool {vector}", "temp_celsius + bool temp_celsius",
                          "temp_celsius == on (instance) group_left (instance) queue_length", '"text" + 1', "req_total[5m500ms]",
                          'label_replace(temp_celsius, "zone", "x", "zone", ".*")', "rate(req_total[0s])",
                          'label_replace(queue_length, "a", "x", "b", "(")', "req_total{code}", "5 5", "sum(1)", "",
                          "avg(temp_celsius) by (zone) by (instance)", '{__name__="a", __name__="b"}', 'x{__name__="b"}'))

    def query(self):
        depth = self.random.randrange(1, 5)
        if self.chance(0.1):
            return self.wrong(min(depth, 2)) or "sum("
        return self.scalar(depth) if self.chance(0.05) else self.vector(depth)


def main():
    queries = Queries(int(sys.argv[1]))
    seen = set()
    while len(seen) < int(sys.argv[2]):
        query = queries.query()
        if query not in seen and len(query) < 600:
            seen.add(query)
            print(query)


main()
