// One pool's page: draws each snapshot of the topic `pool`.
"use strict";
(() => {
  const { byId, make, link, row, across, fill, count, seconds } = opsite;
  const page = byId("pool");
  const before = new Map(); // worker or "" → [moment, tokens]
  const heard = []; // who else draws a snapshot

  // The rate over the last snapshots of which one is at least two seconds old.
  function rate(key, tokens, now) {
    const past = before.get(key) || [];
    const kept = past.filter(([at, count]) => now - at <= 5 && count <= tokens);
    before.set(key, [...kept, [now, tokens]]);
    if (!kept.length || now <= kept[0][0]) return null;
    return Math.round((tokens - kept[0][1]) / (now - kept[0][0]));
  }

  function figure(id, text, small) {
    byId(id).replaceChildren(text, ...(small ? [" ", make("small", "", small)] : []));
  }

  function drawWorker(worker, now) {
    const late = worker.beat_s === undefined || worker.beat_s > 5;
    return row(
      link(worker.url, worker.id.slice(-8)),
      make("span", "", make("span", "badge " + worker.state, worker.state), worker.doing),
      seconds(Math.max(0, Math.round(now - worker.since))),
      [worker.beat_s === undefined ? "none yet" : worker.beat_s + " s ago", late ? "n warn" : "n"],
      [count(worker.running) + " / " + worker.slots, "n"],
      [worker.tokens_total === undefined ? "–" : count(rate(worker.id, worker.tokens_total, now)), "n"],
      worker.revision,
      worker.gpus.join(", ") || "none",
    );
  }

  const drawTenant = (tenant) =>
    row(tenant.name, [count(tenant.waiting), "n"], [count(tenant.running), "n"], [tenant.share + " %", "n"], [count(tenant.weight), "n"]);

  function drawNotices(state) {
    const said = [...(state.error ? [state.error] : []), ...state.notices];
    const list = byId("notices");
    list.hidden = !said.length;
    if (list.dataset.said === said.join("\n")) return;
    list.dataset.said = said.join("\n");
    list.replaceChildren(...said.map((sentence) => make("li", "notice warn", sentence)));
  }

  function draw(state) {
    figure("waiting", count(state.waiting), state.held_back ? state.held_back + " held back" : "");
    figure("oldest", state.waiting ? seconds(Math.round(state.oldest_wait_s)) : "–");
    figure("running", count(state.running) + " / " + count(state.slots));
    const others = [state.starting && state.starting + " starting", state.draining && state.draining + " draining"].filter(Boolean);
    figure("ready", count(state.ready), others.join(", "));
    figure("desired", count(state.desired));
    figure("tokens", state.tokens_total === undefined ? "–" : count(rate("", state.tokens_total, state.at)));
    drawNotices(state);
    byId("rollout").textContent = state.rollout;
    for (const button of document.querySelectorAll("[data-action]")) button.hidden = !state.may.includes(button.dataset.action);
    const rows = state.workers.map((worker) => drawWorker(worker, state.at));
    if (state.more_workers) rows.push(across(byId("workers").closest("table"), state.more_workers + " more"));
    fill("workers", rows, "No worker lives.");
    fill("tenants", (state.tenants || []).map(drawTenant), "Nobody's work waits or runs.");
    byId("line").textContent = (state.line || ["Unknown."]).join(" ");
    for (const name of ["start", "stock", "hours"]) byId(name).textContent = state[name];
    heard.forEach((other) => other(state));
  }

  opsite.pool = { page, hear: (other) => heard.push(other) };
  document.addEventListener("DOMContentLoaded", () => opsite.follow("pool", page.dataset.slug, draw));
})();
