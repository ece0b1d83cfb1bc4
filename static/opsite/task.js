// The page of one task: its stream while it runs.
//
// The stream is server-sent events of the task's own log. The browser comes back by itself with the id of the last event that it
// has, so nothing is missed and nothing comes twice. All else on the page is the server's: when something happened but text, the
// sections with `data-live` are taken anew from the same page.
"use strict";
(() => {
  const { byId, make, put } = opsite;
  const page = byId("task");
  const SHOWN_MAX = 400000; // characters of one answer that the page keeps
  const ANEW_MS = 1000;
  const TRIES_MAX = 30;
  let ended = page.dataset.ended === "true";

  const taken = new Map(); // section → what the server last said it holds
  for (const section of page.querySelectorAll("[data-live]")) taken.set(section.dataset.live, section.innerHTML);

  // -- the sections anew
  let waiting = null;
  let tries = 0;
  function anew(after) {
    if (waiting === null) waiting = setTimeout(take, after);
  }

  async function take() {
    waiting = null;
    try {
      const answer = await fetch(location.href, { headers: { accept: "text/html" } });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      const known = fresh.getElementById("task");
      if (!known) return; // logged out: the login page came
      const isOver = known.dataset.ended === "true";
      for (const section of page.querySelectorAll("[data-live]")) {
        const place = known.querySelector(`[data-live="${section.dataset.live}"]`);
        if (!place || (section.dataset.live === "recorded" && isOver)) continue; // what was seen live stays as it is
        if (taken.get(section.dataset.live) === place.innerHTML) continue; // whoever reads it, or stands in it, is left alone
        taken.set(section.dataset.live, place.innerHTML);
        const open = [...section.querySelectorAll("details")].map((one) => one.open);
        section.replaceChildren(...document.adoptNode(place).childNodes);
        [...section.querySelectorAll("details")].forEach((one, i) => (one.open = open[i] ?? one.open));
      }
      page.dataset.ended = known.dataset.ended;
      if (ended && !isOver && tries++ < TRIES_MAX) anew(ANEW_MS); // the recorder has yet to write the end
    } catch {
      if (ended && tries++ < TRIES_MAX) anew(ANEW_MS);
    }
  }

  // -- the stream
  const list = byId("stream");
  if (ended || !list) return;
  const state = byId("stream-state");
  let turn = 1;
  let text = null; // where the answer's text goes on

  const of = () => (turn ? "turn " + turn + ", " : "");

  function say(name, words) {
    state.dataset.state = name;
    put(state, words);
  }

  function entry(kind, words, body) {
    const near = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    const item = make("li", kind, make("p", "who", words), body === undefined ? null : make("pre", "words", body));
    list.append(item);
    if (near) list.scrollTop = list.scrollHeight;
    return item;
  }

  function next() {
    if (turn) turn += 1;
  }

  function pretty(json) {
    try {
      return JSON.stringify(JSON.parse(json), null, 2);
    } catch {
      return json;
    }
  }

  const heard = {
    state: (data) => {
      if (data.state === "running") text = null;
      say("live", "live: " + data.state + (data.attempt > 1 ? ", attempt " + data.attempt : ""));
    },
    attempt: (data) => {
      const why = data.reason === "handed_over" ? "the worker before ended, and handed it over" : "the worker before was lost";
      entry("attempt", of() + "taken over", undefined).append(": " + why + ". The text goes on where it was.");
    },
    text: (data) => {
      const near = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
      if (!text) {
        text = document.createTextNode("");
        entry("text", of() + "answer", text);
      }
      text.appendData(data.text);
      if (text.length > SHOWN_MAX) text.replaceData(0, text.length - SHOWN_MAX / 2, "[the beginning is left out here]\n");
      if (near) list.scrollTop = list.scrollHeight;
    },
    context: () => {},
    logprobs: () => {},
    tool_calls: (data) => {
      text = null;
      for (const call of data.tool_calls) entry("call", of() + "calls " + call.name, pretty(call.arguments));
      next();
    },
    tool_result: (data) => {
      entry(data.is_error ? "result bad" : "result", data.name + (data.is_error ? " failed" : " answered"), data.result);
    },
    summary: () => {
      text = null;
      entry("summary", of() + "what was said before is summed up");
      next();
    },
    restart: () => {
      list.replaceChildren();
      text = null;
      turn = 0; // which one goes on is not known any more
      entry("attempt", "the stream begins anew: Redis had lost it");
    },
    outcome: (data) => {
      ended = true;
      close();
      say("done", "ended: " + data.state);
      const words = data.error ? data.error.code + ": " + data.error.message : data.finish_reason ? "Finish reason: " + data.finish_reason + "." : "";
      entry(data.error ? "outcome bad" : "outcome", data.state, words || undefined);
    },
  };

  // A browser has few connections to a host, so a page that nobody looks at lets its own go, and comes back with its cursor.
  const AGAIN_MS = 5000;
  let source = null;
  let last = 0;

  function open() {
    if (source || ended || document.hidden) return;
    source = new EventSource(page.dataset.events + "?after=" + last);
    for (const kind of Object.keys(heard))
      source.addEventListener(kind, (event) => {
        last = event.lastEventId;
        heard[kind](JSON.parse(event.data));
        if (kind !== "text" && kind !== "logprobs") anew(ANEW_MS);
      });
    source.onopen = () => say("live", "live");
    source.onerror = () => {
      if (ended) return;
      say("lost", "connection lost; trying again…");
      if (source && source.readyState === EventSource.CLOSED) {
        close();
        setTimeout(open, AGAIN_MS);
      }
    };
  }

  function close() {
    if (source) source.close();
    source = null;
  }

  document.addEventListener("visibilitychange", () => (document.hidden ? close() : open()));
  open();
})();
