// Answers that keep themselves current: asked again every few seconds while the tab is visible, less often while
// that fails. What every poll of the page knows is gathered for the header.

import { onAccess } from "./api.js";
import { useEffect, useRef, useState } from "./vendor/htm-preact.js";

const EVERY = 5000;
const LONGEST = 60000;

const polls = new Set();
const watching = new Set();

function changed() {
  for (const listener of [...watching]) listener();
}

// {at, behind, error, until}: the oldest answer shown, whether one is older than its poll should let it become, the
// first error of the stack, and when that is tried again (ms since 1970). Refusals (4xx) are the page's own matter.
export function connection() {
  const all = [...polls].filter((poll) => !(poll.error?.status >= 400 && poll.error.status < 500));
  const answered = all.filter((poll) => poll.at !== null);
  const failed = all.find((poll) => poll.error !== null);
  const now = Date.now();
  return {
    at: answered.length ? Math.min(...answered.map((poll) => poll.at)) : null,
    behind: answered.some((poll) => now - poll.at > Math.max(30000, 3 * poll.every)),
    error: failed?.error ?? null,
    until: failed?.until ?? null,
  };
}

// What was down answers again: who waits for a next try need not.
function wake() {
  for (const poll of [...polls]) if (poll.until !== null) poll.run();
}

export function useConnection() {
  const [, redraw] = useState(0);
  useEffect(() => {
    const draw = () => redraw((n) => n + 1);
    watching.add(draw);
    const timer = setInterval(draw, 1000);
    return () => {
      watching.delete(draw);
      clearInterval(timer);
    };
  }, []);
  return connection();
}

// load(signal) → a promise of the data. Answers {data, error, at, refresh}; data stays while later answers fail.
export function usePoll(load, deps, { every = EVERY } = {}) {
  const [state, setState] = useState({ data: null, error: null, at: null });
  const latest = useRef(load);
  latest.current = load;
  const again = useRef(() => {});
  useEffect(() => {
    const poll = { at: null, error: null, until: null, every, run };
    let timer = null;
    let asking = null;
    let failures = 0;
    polls.add(poll);
    setState({ data: null, error: null, at: null });

    async function run() {
      clearTimeout(timer);
      asking?.abort();
      const mine = (asking = new AbortController());
      try {
        const data = await latest.current(mine.signal);
        if (mine.signal.aborted) return;
        const recovered = failures > 0;
        failures = 0;
        Object.assign(poll, { at: Date.now(), error: null, until: null });
        setState({ data, error: null, at: poll.at });
        if (recovered) wake();
      } catch (error) {
        if (mine.signal.aborted) return;
        failures += 1;
        poll.error = error;
        setState((before) => ({ ...before, error }));
        if (error.needsKey) {
          changed();
          return; // asked again when a key is given
        }
      }
      const wait = Math.min(LONGEST, every * 2 ** failures);
      const asked = Math.min(LONGEST, (poll.error?.retryAfter ?? 0) * 1000);
      schedule(failures === 0 ? every : Math.max(wait, asked));
      changed();
    }

    function schedule(wait) {
      clearTimeout(timer);
      if (document.visibilityState !== "visible") return;
      poll.until = failures === 0 ? null : Date.now() + wait;
      timer = setTimeout(run, wait);
    }

    function visible() {
      clearTimeout(timer);
      if (document.visibilityState === "visible") run();
    }

    document.addEventListener("visibilitychange", visible);
    const ended = onAccess(() => {
      if (poll.error?.needsKey) run();
    });
    again.current = run;
    run();
    return () => {
      clearTimeout(timer);
      asking?.abort();
      polls.delete(poll);
      document.removeEventListener("visibilitychange", visible);
      ended();
      changed();
    };
  }, deps);
  return { ...state, refresh: () => again.current() };
}
