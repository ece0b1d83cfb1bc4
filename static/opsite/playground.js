// The playground: runs one agent, or two at once, and follows each by its task's stream of server-sent events.
"use strict";
(() => {
  const { byId, link, row, count } = opsite;
  const form = byId("playground");
  const base = form.dataset.base;
  const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
  const field = (name) => form.elements[name];
  const told = form.querySelector(".told");
  const tenant = () => field("tenant").value.trim();
  const LOOK_MS = 200; // until the recorder has brought an outcome to Postgres
  const LOOKS_MAX = 75;
  let streams = [];
  let running = []; // [pane, task] of the last run

  function say(words, url, name) {
    told.replaceChildren(words, ...(url ? [" ", link(url, name)] : []));
  }

  async function answered(response) {
    if (response.redirected) throw new Error("You are not logged in any more: reload the page.");
    const decoded = await response.json().catch(() => null);
    if (response.ok) return decoded;
    if (response.status === 403) throw new Error("Your role does not allow this.");
    throw new Error(decoded && decoded.detail ? decoded.detail : `The console answered ${response.status}.`);
  }

  // What is not there (404) is null: who types has not finished the name yet.
  async function ask(path) {
    const response = await fetch(base + path, { headers: { Accept: "application/json" } });
    return response.status === 404 ? null : answered(response).catch((error) => (say(error.message), null));
  }

  const send = async (path, body) =>
    answered(await fetch(base + path, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-CSRFToken": token },
      body: JSON.stringify(body),
    }));

  const sections = [...form.querySelectorAll(".pane")];
  const panes = sections.map((section, side) => opsite.pane(section, { side, title: side ? "Right" : "Left", ask, tenant }));
  const shown = () => (field("compare").checked ? panes : panes.slice(0, 1));
  opsite.suggest(field("tenant"), byId("tenants-found"), (typed) => ask("tenants/?q=" + encodeURIComponent(typed)));

  function layout() {
    const two = field("compare").checked;
    sections[1].hidden = !two;
    sections[1].querySelector("[name=agent]").required = two;
    sections[0].querySelector("h2").textContent = two ? "Left" : "One agent";
    form.querySelector(".panes").dataset.sides = two ? "2" : "1";
    if (two && !panes[1].agent && panes[0].agent) {
      panes[1].agent = panes[0].agent;
      panes[1].choose();
    }
    differences();
  }

  function differences() {
    const place = form.querySelector(".differences");
    const [left, right] = panes.map((pane) => pane.result);
    place.hidden = !(field("compare").checked && left && right && left.task && right.task);
    if (place.hidden) return;
    const rows = [
      ["until the first token", "first_token_s", " s", 3], ["in all", "total_s", " s", 3], ["tokens per second", "tokens_per_s", "", 1],
      ["prompt tokens", "prompt_tokens", "", 0], ["answer tokens", "completion_tokens", "", 0], ["model calls", "model_calls", "", 0],
      ["cost", "cost", " " + left.currency, 12],
    ];
    const said = (value, unit) => (typeof value === "number" ? count(value) : value ?? "–") + (value === null ? "" : unit);
    place.querySelector("tbody").replaceChildren(
      ...rows.map(([name, key, unit, digits]) =>
        row(name, [said(left[key], unit), "n"], [said(right[key], unit), "n"], [against(left[key], right[key], unit, digits), "n"])),
    );
  }

  function against(left, right, unit, digits) {
    if (left === null || right === null) return "–";
    const more = Number(right) - Number(left);
    const sign = more > 0 ? "+" : more < 0 ? "−" : "±";
    const share = Number(left) ? ` (${sign}${Math.abs(Math.round((100 * more) / Number(left)))} %)` : "";
    return sign + Math.abs(more).toLocaleString(undefined, { maximumFractionDigits: digits }) + unit + share;
  }

  function parameters() {
    const given = {};
    for (const name of ["temperature", "max_tokens", "top_p", "seed"]) if (field(name).value !== "") given[name] = Number(field(name).value);
    return given;
  }

  function output() {
    const kind = field("output").value;
    if (!kind) return {};
    if (kind === "regex") return { output: { kind, regex: field("regex").value } };
    if (kind !== "json_schema") return { output: { kind } };
    try {
      return { output: { kind, json_schema: JSON.parse(field("json_schema").value) } };
    } catch (error) {
      throw new Error("JSON schema: this is no JSON (" + error.message + ").");
    }
  }

  function messagesOf(pane) {
    const before = field("conversation").checked ? pane.history : [];
    return [...before, { role: "user", content: field("message").value }];
  }

  const newName = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

  function busy(is) {
    form.querySelector("[type=submit]").disabled = is;
    form.querySelector("[data-action=stop]").disabled = !is;
  }

  async function run() {
    const sides = shown();
    const wanted = sides.map((pane) => ({ agent: pane.agent, revision: pane.revision, messages: messagesOf(pane) }));
    const body = { tenant: tenant(), run: newName(), sides: wanted, parameters: parameters(), ...output() };
    if (!field("conversation").checked) panes.forEach((pane) => pane.clear());
    sides.forEach((pane, side) => pane.begin(wanted[side].messages));
    say("");
    busy(true);
    const answer = await send("runs/", body).catch((error) => {
      sides.forEach((pane) => pane.refuse({ detail: error.message }));
      return null;
    });
    if (!answer) return busy(false);
    running = [];
    answer.sides.forEach((one, side) => (one.problem ? sides[side].refuse(one.problem) : running.push([sides[side], one])));
    if (field("conversation").checked) field("message").value = "";
    if (running.length) follow();
    else busy(false);
  }

  async function follow() {
    streams.forEach((stream) => stream.close());
    streams = [];
    const mine = running;
    differences();
    await Promise.all(running.map(([pane, one]) => toTheEnd(pane, one).then(() => recorded(pane, one, mine))));
    if (mine === running) busy(false);
  }

  // The browser comes back with its cursor by itself, whether the connection was lost or the stream ended for us to be asked anew.
  const toTheEnd = (pane, one) =>
    new Promise((ended) => {
      const stream = new EventSource(one.events);
      streams.push(stream);
      for (const kind of pane.kinds)
        stream.addEventListener(kind, (event) => {
          pane.take(kind, JSON.parse(event.data));
          if (kind !== "outcome") return;
          stream.close();
          ended();
        });
      stream.onerror = () => {
        if (stream.readyState === EventSource.CLOSED) say("The stream was refused; the tasks go on. Reload the page.");
      };
    });

  async function recorded(pane, one, mine) {
    for (let looks = 0; looks < LOOKS_MAX && mine === running; looks++) {
      const result = await ask(`results/${one.task}/`).catch(() => null); // the connection was lost: asked again
      if (mine !== running) return;
      if (result && result.ended) {
        pane.take("recorded", result);
        pane.page(one.page);
        differences();
        return;
      }
      await new Promise((waited) => setTimeout(waited, LOOK_MS));
    }
    if (mine === running) say("The outcome is not recorded yet; the task's page will have it.", one.page, "the task");
  }

  const asItCan = (action) => (event) => {
    event.preventDefault();
    Promise.resolve().then(action).catch((error) => say(error.message));
  };

  form.addEventListener("submit", asItCan(run));
  form.addEventListener("change", (event) => {
    if (event.target === field("compare")) layout();
    if (event.target === field("tenant")) panes.forEach((pane) => (pane.clear(), pane.forget()));
    if (event.target === field("output"))
      for (const place of form.querySelectorAll("[data-form]")) place.hidden = place.dataset.form !== field("output").value;
  });
  const on = (name, action) => {
    const button = form.querySelector(`[data-action=${name}]`);
    if (button) button.addEventListener("click", asItCan(action));
  };
  on("stop", () => send("stop/", { tasks: running.filter(([pane]) => !pane.over).map(([, one]) => one.task) }));
  on("clear", () => {
    panes.forEach((pane) => pane.clear());
    say("");
    differences();
  });
  const dialog = byId("save-input");
  if (dialog) {
    const open = opsite.saveDialog(dialog, { send, said: say });
    on("save", async () => {
      const byAgent = new Map();
      for (const pane of shown()) {
        const messages = field("message").value ? messagesOf(pane) : pane.sent;
        if (pane.agent && messages.length) byAgent.set(pane.agent, { agent: pane.agent, messages });
      }
      if (!byAgent.size) throw new Error("Choose an agent and write a message first.");
      for (const one of byAgent.values()) one.known = await ask(`tenants/${encodeURIComponent(tenant())}/agents/${encodeURIComponent(one.agent)}/`);
      open({ tenant: tenant(), choices: [...byAgent.values()] });
    });
  }

  panes[0].agent = form.dataset.agent;
  panes[0].choose(form.dataset.revision);
  layout();
})();
