// time.js - durations as PromQL writes them, and points in time. Shown in UTC as Prometheus does, or in local time.

const UNITS = [['y', 31536000000], ['w', 604800000], ['d', 86400000], ['h', 3600000], ['m', 60000], ['s', 1000], ['ms', 1]];

/* "1h30m" in ms; null: it is none. */
export function parseDuration(text) {
  const found = /^(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?$/.exec(text.trim());
  if (!found || !text.trim()) return null;
  const ms = UNITS.reduce((sum, [, unit], i) => sum + Number(found[i + 1] || 0) * unit, 0);
  return ms > 0 ? ms : null;
}

export function formatDuration(ms) {
  let out = '';
  for (const [name, unit] of UNITS) {
    if ((name === 'y' || name === 'w') && ms % unit) continue;
    const n = Math.floor(ms / unit);
    if (n) out += n + name;
    ms -= n * unit;
  }
  return out || '0s';
}

/* For people: "1m 3s", "12.3ms". */
export function shortDuration(seconds) {
  if (!seconds) return '0s';
  if (seconds < 1e-3) return `${Number((seconds * 1e6).toPrecision(3))}µs`;
  if (seconds < 1) return `${Number((seconds * 1000).toPrecision(3))}ms`;
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)}s`;
  return formatDuration(Math.round(seconds) * 1000).replace(/([a-z])(\d)/g, '$1 $2');
}

export const useLocal = () => localStorage.getItem('knarr.localTime') === '1';
export const setLocal = (on) => localStorage.setItem('knarr.localTime', on ? '1' : '0');

const two = (n) => String(n).padStart(2, '0');
export function formatTime(ms, local = useLocal()) {
  const d = new Date(local ? ms - new Date(ms).getTimezoneOffset() * 60000 : ms);
  const text = `${d.getUTCFullYear()}-${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())} `;
  return `${text}${two(d.getUTCHours())}:${two(d.getUTCMinutes())}:${two(d.getUTCSeconds())}`;
}

/* "2026-01-31 12:00:00", also with T, without seconds, or with a zone of its own; null: it is none. */
export function parseTime(text, local = useLocal()) {
  const t = text.trim().replace(' ', 'T');
  if (!t) return null;
  const zoned = /(Z|[+-]\d\d:?\d\d)$/.test(t) && t.length > 11;
  const ms = /^-?\d+(\.\d+)?$/.test(t) ? Number(t) * 1000 : Date.parse(zoned || local ? t : `${t.length === 10 ? `${t}T00:00` : t}Z`);
  return Number.isFinite(ms) ? ms : null;
}

/* How long ago an RFC 3339 time was; "never" for Go's zero time. */
export function ago(text) {
  const ms = Date.parse(text);
  if (!Number.isFinite(ms) || ms < 0) return 'never';
  return `${shortDuration(Math.max(0, Date.now() - ms) / 1000)} ago`;
}
