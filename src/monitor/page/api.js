// api.js - asks Prometheus' HTTP API, which lies beside the page: all addresses are relative to it.

export class ApiError extends Error {
  constructor(text, type) {
    super(text);
    this.type = type;
  }
}

function form(params) {
  const out = new URLSearchParams();
  for (const [name, value] of Object.entries(params || {}))
    for (const one of Array.isArray(value) ? value : [value]) if (one !== null && one !== undefined) out.append(name, one);
  return out;
}

async function answer(path, init) {
  let response;
  try {
    response = await fetch(`api/v1/${path}`, init);
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new ApiError('The server cannot be reached.', 'network');
  }
  if (response.status === 503 && !(response.headers.get('Content-Type') || '').includes('json'))
    throw new ApiError('The server is starting: it reads its database and does not answer yet.', 'unready');
  let body;
  try {
    body = await response.json();
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new ApiError(`The server answered ${response.status} ${response.statusText}.`, 'network');
  }
  if (body.status !== 'success') throw new ApiError(body.error || `status ${response.status}`, body.errorType);
  return body;
}

/* The whole answer, with its warnings and infos. */
export const get = (path, params, signal) => {
  const query = form(params).toString();
  return answer(path + (query ? `?${query}` : ''), { signal });
};
/* For queries, which may be longer than an address can be. */
export const post = (path, params, signal) => answer(path, { method: 'POST', body: form(params), signal });

/* Answers that are asked for again and again while someone types; kept for a while. */
const KEEP_MS = 60000;
const KEPT_MAX = 200;
const kept = new Map();
export function cached(path, params) {
  const key = `${path}?${form(params)}`;
  const hit = kept.get(key);
  if (hit && Date.now() - hit.at < KEEP_MS) return hit.data;
  const data = get(path, params).then((a) => a.data);
  data.catch(() => kept.delete(key));
  if (kept.size >= KEPT_MAX) kept.clear();
  kept.set(key, { at: Date.now(), data });
  return data;
}
