// One side of the playground: its agent and revision, what was said, the stream as it comes, and its figures.
//
//   const pane = opsite.pane(section, { title: "Left", ask });   // ask(path) → decoded JSON of the playground
//   pane.begin(messages); pane.take(kind, data); pane.refuse(problem);
"use strict";
window.opsite = Object.assign(window.opsite || {}, (() => {
  const ENDED = new Set(["succeeded", "failed", "cancelled", "expired"]);
  const CHARS_PER_TOKEN = 4; // a guess, until the model's own count is there

  function make(tag, className, text) {
    const one = document.createElement(tag);
    if (className) one.className = className;
    if (text !== undefined) one.textContent = text;
    return one;
  }

  const seconds = (value) => (value === null || value === undefined ? "–" : value.toFixed(2) + " s");
  const count = (value) => (value === null || value === undefined ? "–" : value.toLocaleString());
  const money = (value, currency) => (value === null || value === undefined ? "no price" : value + " " + currency);

  // Fills a datalist with suggestions while somebody types, one question at a time.
  function suggest(input, list, ask) {
    let asked = 0;
    const look = async () => {
      const mine = ++asked;
      const answer = await ask(input.value.trim());
      if (mine !== asked || !answer) return;
      list.replaceChildren(...answer.found.map((one) => Object.assign(make("option"), { value: one.value, label: one.label })));
    };
    let wait = null;
    input.addEventListener("input", () => {
      clearTimeout(wait);
      wait = setTimeout(look, 150);
    });
    input.addEventListener("focus", look);
  }

  function pane(section, { side, title, ask, tenant }) {
    section.append(document.getElementById("pane").content.cloneNode(true));
    const find = (selector) => section.querySelector(selector);
    const agent = find("[name=agent]"), revision = find("[name=revision]"), said = find(".said");
    const list = find("datalist");
    list.id = "agents-found-" + side;
    agent.setAttribute("list", list.id);
    find("h2").textContent = title;
    let known = null; // what the playground says of the chosen agent
    let history = []; // what was said so far, with the answers
    let sent = []; // the messages of the last run
    let answer = null; // the element that text goes to
    let text = "", started = 0, firstAt = null, chars = 0, ticking = null;
    let result = null;

    async function choose(wanted) {
      known = agent.value ? await ask(`tenants/${encodeURIComponent(tenant())}/agents/${encodeURIComponent(agent.value)}/`) : null;
      const options = [Object.assign(make("option", "", known ? known.published : "published"), { value: "" })];
      for (const one of known ? known.revisions : [])
        options.push(Object.assign(make("option", "", `r${one.number} on ${one.pool} (${one.serves})`), { value: String(one.number) }));
      revision.replaceChildren(...options);
      if (wanted) revision.value = wanted;
      agent.setCustomValidity(agent.value && !known ? "This tenant has no such agent; choose one of those that are suggested." : "");
    }
    agent.addEventListener("change", () => choose());
    suggest(agent, list, (typed) => (tenant() ? ask(`tenants/${encodeURIComponent(tenant())}/agents/?q=${encodeURIComponent(typed)}`) : null));

    function line(who, words, className) {
      const item = make("li", className || who);
      item.append(make("span", "who", who), make("div", "words", words));
      said.append(item);
      item.scrollIntoView({ block: "nearest" });
      return item.lastChild;
    }

    function state(words, kind) {
      const place = find(".state");
      place.textContent = words;
      place.dataset.kind = kind || "";
    }

    function figures(rows) {
      find(".figures").replaceChildren(
        ...rows.map(([name, value]) => {
          const pair = make("div");
          pair.append(make("dt", "", name), make("dd", "", value));
          return pair;
        }),
      );
    }

    function live() {
      const passed = (performance.now() - started) / 1000;
      const first = firstAt === null ? null : (firstAt - started) / 1000;
      const pace = first !== null && passed - first > 0.2 ? "about " + count(Math.round(chars / CHARS_PER_TOKEN / (passed - first))) : "–";
      figures([["first token", seconds(first)], ["so far", seconds(passed)], ["tokens/s", pace]]);
    }

    function begin(messages) {
      sent = messages;
      text = "";
      chars = 0;
      result = null;
      answer = null;
      firstAt = null;
      started = performance.now();
      line("user", messages[messages.length - 1].content);
      state("Sent; waiting in the queue.", "busy");
      clearInterval(ticking);
      ticking = setInterval(live, 200);
      live();
    }

    function over() {
      clearInterval(ticking);
      ticking = null;
      answer = null;
    }

    function refuse(problem) {
      over();
      state("Not accepted: " + problem.detail, "bad");
      figures([]);
      result = { refused: true };
    }

    function more(words) {
      if (firstAt === null) firstAt = performance.now();
      if (!answer) answer = line("assistant", "");
      answer.textContent += words;
      text += words;
      chars += words.length;
      said.lastElementChild.scrollIntoView({ block: "nearest" });
    }

    const takes = {
      state: (data) => state(data.state === "running" ? `Running, attempt ${data.attempt}.` : "Waiting in the queue.", "busy"),
      attempt: (data) => line("note", `Attempt ${data.attempt}: ` + (data.reason === "handed_over" ? "its worker was drained" : "its worker was lost") + "; another goes on behind the text so far.", "note"),
      context: (data) => data.messages_dropped && line("note", `${data.messages_dropped} of the oldest messages were left out: the context was too long.`, "note"),
      text: (data) => more(data.text),
      tool_calls: (data) => {
        answer = null;
        text = "";
        for (const call of data.tool_calls) line("calls " + call.name, call.arguments, "tool");
        state("Waiting for its tools.", "busy");
      },
      tool_result: (data) => line((data.is_error ? "error of " : "result of ") + data.name, data.result, data.is_error ? "tool bad" : "tool"),
      summary: (data) => line("note", `A summary of ${data.messages} messages was ${data.state === "succeeded" ? "written" : "not written"}.`, "note"),
      restart: () => {
        line("note", "The text so far was lost with Redis' data; it begins anew.", "note");
        answer = null;
        text = "";
      },
      outcome: (data) => {
        clearInterval(ticking);
        const why = data.error ? ": " + data.error.message : data.finish_reason ? ` (${data.finish_reason})` : "";
        state(data.state + why, data.state === "succeeded" ? "good" : "bad");
      },
      recorded: (data) => {
        if (!data.ended) return;
        if (data.output && data.output !== text) {
          answer = answer || line("assistant", "");
          answer.textContent = data.output;
        }
        over();
        result = data;
        state(data.state + (data.error ? ": " + data.error : data.finish_reason ? ` (${data.finish_reason})` : ""), data.state === "succeeded" ? "good" : "bad");
        history = [...sent, { role: "assistant", content: data.output }];
        figures([
          ["first token", seconds(data.first_token_s)], ["in all", seconds(data.total_s)], ["tokens/s", count(data.tokens_per_s)],
          ["tokens in", count(data.prompt_tokens)], ["tokens out", count(data.completion_tokens)],
          ["model calls", count(data.model_calls)], ["cost", money(data.cost, data.currency)],
        ]);
      },
    };

    return {
      choose, begin, refuse,
      page(url) {
        const link = make("a", "", "the task");
        link.href = url;
        find(".state").append(" ", link);
      },
      kinds: Object.keys(takes),
      take: (kind, data) => takes[kind](data),
      clear() {
        history = [];
        result = null;
        said.replaceChildren();
        figures([]);
        state("Nothing was run yet.");
      },
      forget() {
        agent.value = "";
        choose();
      },
      get agent() { return agent.value; },
      set agent(value) { agent.value = value; },
      get known() { return known; },
      get revision() { return revision.value ? Number(revision.value) : null; },
      get history() { return history; },
      get sent() { return sent; },
      get result() { return result; },
      get busy() { return ticking !== null; },
      get over() { return result !== null && (result.refused || ENDED.has(result.state)); },
    };
  }

  return { pane, make, suggest };
})());
