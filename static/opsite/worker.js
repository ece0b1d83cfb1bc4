// A worker's page: draws the state that came with the page, and each snapshot of the topic `worker` while it lives.
"use strict";
(() => {
  const { byId, make, link, row, fill, count, seconds, moment, figure } = opsite;
  const first = JSON.parse(byId("worker-state").textContent);
  const RATE_OVER_MS = 5000; // tokens a second over so long: a heartbeat a second makes shorter ones jump
  const words = []; // [now_ms, tokens_total] of the last seconds
  let charts = null;

  const labelled = (name, value, bad) => make("div", bad ? "error" : "", make("dt", "", name), make("dd", "", value));

  function drawWhy(state) {
    const rows = [];
    if (state.started_because) rows.push(labelled("started because", state.started_because));
    if (state.wish) rows.push(labelled("asked for", "It is to " + state.wish.what + ", says " + state.wish.by + "; the orchestrator has not done so yet."));
    if (state.ended_because) rows.push(labelled(state.is_live ? "ends because" : "ended because", state.ended_because));
    if (state.error) rows.push(labelled("error", state.error, true));
    if (state.exit_code !== null) rows.push(labelled("exit code", String(state.exit_code)));
    byId("why").replaceChildren(...rows);
    byId("state").textContent = state.state;
    byId("state").className = "badge " + state.state;
    byId("since").replaceChildren("since ", moment(state.since));
    const trouble = byId("trouble");
    trouble.hidden = !state.blind;
    trouble.textContent = state.blind || "";
    if (byId("acts")) {
      byId("acts").hidden = !state.may_kill;
      byId("drain").hidden = !state.may_drain;
    }
  }

  function tokensPerSecond(state) {
    if (state.tokens_total === undefined) return null;
    if (words.length && state.tokens_total < words[words.length - 1][1]) words.length = 0;
    if (!words.length || state.now_ms > words[words.length - 1][0]) words.push([state.now_ms, state.tokens_total]);
    while (words.length > 2 && words[1][0] < state.now_ms - RATE_OVER_MS) words.shift();
    const [at, tokens] = words[0];
    return state.now_ms > at ? ((state.tokens_total - tokens) * 1000) / (state.now_ms - at) : null;
  }

  const gib = (mebibytes) => (mebibytes < 1024 ? Math.round(mebibytes) + " MiB" : (mebibytes / 1024).toFixed(1) + " GiB");

  // What the GPU does not tell is not shown.
  function gpuFigure(gpu, share) {
    const bars = [];
    if (gpu.utilisation !== null) bars.push([gpu.utilisation + " % busy", gpu.utilisation / 100]);
    if (gpu.memory_used_mib !== null && gpu.memory_total_mib)
      bars.push(["memory " + gib(gpu.memory_used_mib) + " of " + gib(gpu.memory_total_mib), gpu.memory_used_mib / gpu.memory_total_mib]);
    const part = share < 1 ? "; the whole card, of which it has " + share : "";
    return figure({ name: gpu.device.length > 12 ? gpu.device.slice(0, 12) + "…" : "GPU " + gpu.device, more: gpu.name + part, bars });
  }

  function drawFigures(state) {
    const made = [];
    if (state.is_live) {
      if (state.beat_age_s !== undefined) made.push(figure({ name: "heartbeat", value: state.beat_age_s.toFixed(1) + " s ago", warn: state.beat_age_s > 3 }));
      else if (!state.blind) made.push(figure({ name: "heartbeat", value: "none", more: state.state === "starting" ? "it says nothing yet" : "it is not heard", warn: state.state === "ready" }));
      if (state.running !== undefined) made.push(figure({ name: "slots", value: state.running + " of " + state.slots, more: "running", share: state.slots ? state.running / state.slots : 0 }));
      const rate = tokensPerSecond(state);
      if (state.tokens_total !== undefined)
        made.push(figure({ name: "tokens a second", value: rate === null ? "…" : rate < 10 ? rate.toFixed(1) : count(Math.round(rate)), more: state.tokens_per_s_of_life === null ? "" : count(state.tokens_per_s_of_life) + " on average since it was ready" }));
      if (state.tokens_total !== undefined) made.push(figure({ name: "tokens made", value: count(state.tokens_total), more: "since its start" }));
    } else {
      const lived = (Date.parse(state.since) - Date.parse(state.started_at)) / 1000;
      made.push(figure({ name: "lived", value: seconds(lived), more: state.ready_at ? "ready after " + seconds((Date.parse(state.ready_at) - Date.parse(state.started_at)) / 1000) : "it was never ready" }));
      if (state.tokens_heard !== null) made.push(figure({ name: "tokens made", value: count(state.tokens_heard), more: "as its last recorded heartbeat said" }));
    }
    const shown = state.glimpse;
    if (shown) {
      if (shown.cpus !== undefined && shown.cpus !== null) made.push(figure({ name: "CPU", value: shown.cpus.toFixed(2), more: "cores in use" }));
      if (shown.memory_bytes) made.push(figure({ name: "memory", value: gib(shown.memory_bytes / 1048576), more: "resident" }));
      for (const gpu of shown.gpus || []) made.push(gpuFigure(gpu, state.gpu_share));
      for (const name of ["pid", "host"]) {
        byId(name).textContent = shown[name] || "";
        byId(name).parentElement.hidden = !shown[name];
      }
    }
    byId("figures").replaceChildren(...made);
  }

  function drawTurns(state) {
    byId("turns-part").hidden = !state.is_live;
    const rows = state.turns.map((turn) => {
      const held_s = turn.claimed_at && state.now_ms ? Math.max(0, (state.now_ms - Date.parse(turn.claimed_at)) / 1000) : null;
      const task = Object.assign(link("/console/tasks/" + turn.task + "/", turn.task.slice(-12)), { title: turn.task });
      return row(task, turn.tenant, turn.agent, [turn.number, "n"], [turn.attempt, "n"], [seconds(held_s), "n"]);
    });
    fill("turns", rows, state.held ? "They are not recorded yet." : "None: it waits for work.");
    byId("held").textContent = state.held > state.turns.length ? state.turns.length + " of " + state.held : "";
  }

  function drawHour(history) {
    const known = history.at.length > 0;
    byId("hour").hidden = !known;
    byId("hour-none").hidden = known;
    if (!known) return;
    charts = charts || [
      opsite.chart(byId("tokens-chart"), { label: "Tokens a second in the last hour, minute by minute", height: 130, series: [{ name: "tokens/s", filled: true }] }),
      opsite.chart(byId("busy-chart"), { label: "Share of the time in which its engine worked, in the last hour", unit: "%", height: 110, least: 100, series: [{ name: "busy", filled: true, colour: 2 }] }),
    ];
    charts[0].set([history.at, history.tokens_per_s]);
    charts[1].set([history.at, history.busy_share]);
  }

  function drawStart(state) {
    const length = (of) => of.reduce((sum, phase) => sum + phase.s, 0);
    const usual = first.usual_phases;
    const longest = Math.max(length(state.phases), length(usual)) || 1;
    const parts = [];
    if (state.phases.length) parts.push(opsite.phases(state.ready_at ? "This start" : "This start, so far", state.phases, longest));
    if (state.start_phase) parts.push(make("p", "", "It is at: " + opsite.phaseName(state.start_phase) + "."));
    if (usual.length) parts.push(opsite.phases("Usual in this pool", usual, longest));
    if (!parts.length) parts.push(make("p", "quiet", "Nothing was measured of its start."));
    byId("start").replaceChildren(...parts);
  }

  function drawLog(state) {
    const note = byId("log-note");
    if (state.is_live && state.log === undefined) {
      note.textContent = state.blind ? "" : "no orchestrator has shown it yet";
      return;
    }
    note.textContent = (state.glimpse && state.glimpse.error) || "";
    const place = byId("log");
    const text = state.log.join("\n");
    if (place.textContent === text) return;
    const atEnd = place.scrollHeight - place.scrollTop - place.clientHeight < 40;
    place.textContent = text;
    if (atEnd) place.scrollTop = place.scrollHeight;
  }

  let drawnHour = "";
  let drawnStart = "";
  function draw(state) {
    drawWhy(state);
    drawFigures(state);
    drawTurns(state);
    drawLog(state);
    const start = JSON.stringify([state.phases, state.start_phase, state.ready_at]);
    if (start !== drawnStart) drawStart(state);
    drawnStart = start;
    const hour = JSON.stringify(state.history.at);
    if (hour !== drawnHour) drawHour(state.history);
    drawnHour = hour;
    if (!state.is_live) {
      opsite.leave("worker", first.id);
      for (const place of document.querySelectorAll(".live-link")) place.hidden = true;
      byId("log-title").firstChild.textContent = "Its last words ";
    }
  }

  draw(first);
  if (first.is_live) opsite.follow("worker", first.id, draw);
})();
