// One pool's page: draws each snapshot of the topic `pool`, and asks before anything is done.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const page = byId("pool");
  const before = new Map(); // worker or "" → [moment, tokens]
  const heard = []; // who else draws a snapshot

  function make(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined && text !== null) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function cell(row, text, className) {
    const made = make("td", text, className);
    row.append(made);
    return made;
  }

  function time(seconds) {
    const made = make("time", opsite.when(new Date(seconds * 1000)));
    made.dateTime = made.title = new Date(seconds * 1000).toISOString();
    return made;
  }

  function long(seconds) {
    if (seconds < 90) return Math.round(seconds) + " s";
    if (seconds < 5400) return Math.round(seconds / 60) + " min";
    return seconds < 129600 ? (seconds / 3600).toFixed(1) + " h" : Math.round(seconds / 86400) + " d";
  }

  // The rate over the last snapshots of which one is at least two seconds old.
  function rate(key, tokens, now) {
    const past = before.get(key) || [];
    const kept = past.filter(([at, count]) => now - at <= 5 && count <= tokens);
    before.set(key, [...kept, [now, tokens]]);
    if (!kept.length || now <= kept[0][0]) return null;
    return Math.round((tokens - kept[0][1]) / (now - kept[0][0]));
  }

  function fill(id, rows, columns, nothing) {
    if (!rows.length) {
      const row = make("tr");
      cell(row, nothing).colSpan = columns;
      rows = [row];
    }
    byId(id).replaceChildren(...rows);
  }

  const shown = (value) => (value === null || value === undefined ? "–" : value.toLocaleString());

  function figure(id, text, small) {
    const parts = [document.createTextNode(text)];
    if (small) parts.push(document.createTextNode(" "), make("small", small));
    byId(id).replaceChildren(...parts);
  }

  function drawWorker(worker, now) {
    const row = make("tr");
    const name = make("th");
    name.scope = "row";
    const link = make("a", worker.id.slice(-8), "pool-link");
    link.href = worker.url;
    name.append(link);
    row.append(name);
    cell(row).append(make("span", worker.state, "badge " + worker.state), make("span", worker.doing || ""));
    cell(row, long(Math.max(0, now - worker.since)));
    const late = worker.beat_s === undefined || worker.beat_s > 5;
    cell(row, worker.beat_s === undefined ? "none yet" : worker.beat_s + " s ago", late ? "n warn" : "n");
    cell(row, (worker.running === undefined ? "–" : worker.running) + " / " + worker.slots, "n");
    cell(row, worker.tokens_total === undefined ? "–" : shown(rate(worker.id, worker.tokens_total, now)), "n");
    cell(row, worker.revision);
    cell(row, worker.gpus.join(", ") || "none");
    return row;
  }

  function drawTenant(tenant) {
    const row = make("tr");
    const name = make("th", tenant.name);
    name.scope = "row";
    row.append(name);
    cell(row, shown(tenant.waiting), "n");
    cell(row, shown(tenant.running), "n");
    cell(row, tenant.share + " %", "n");
    cell(row, shown(tenant.weight), "n");
    return row;
  }

  function drawNotices(state) {
    const said = [...(state.error ? [state.error] : []), ...state.notices];
    const list = byId("notices");
    list.hidden = !said.length;
    if (list.dataset.said === said.join("\n")) return;
    list.dataset.said = said.join("\n");
    list.replaceChildren(...said.map((sentence) => make("li", sentence)));
  }

  function draw(state) {
    figure("waiting", shown(state.waiting), state.held_back ? state.held_back + " held back" : "");
    figure("oldest", state.waiting ? long(state.oldest_wait_s) : "–");
    figure("running", shown(state.running) + " / " + shown(state.slots));
    const others = [state.starting && state.starting + " starting", state.draining && state.draining + " draining"].filter(Boolean);
    figure("ready", shown(state.ready), others.join(", "));
    figure("desired", shown(state.desired));
    figure("tokens", state.tokens_total === undefined ? "–" : shown(rate("", state.tokens_total, state.at)));
    drawNotices(state);
    byId("rollout").textContent = state.rollout;
    for (const button of document.querySelectorAll("[data-action]")) button.hidden = !state.may.includes(button.dataset.action);
    const rows = state.workers.map((worker) => drawWorker(worker, state.at));
    if (state.more_workers) cell(rows[rows.push(make("tr")) - 1], state.more_workers + " more").colSpan = 8;
    fill("workers", rows, 8, "No worker lives.");
    fill("tenants", (state.tenants || []).map(drawTenant), 5, "Nobody's work waits or runs.");
    byId("line").textContent = (state.line || ["Unknown."]).join(" ");
    for (const name of ["start", "stock", "hours"]) byId(name).textContent = state[name];
    heard.forEach((other) => other(state));
  }

  for (const button of document.querySelectorAll("[data-action]"))
    button.addEventListener("click", () => byId("dialog-" + button.dataset.action).showModal());
  for (const button of document.querySelectorAll("[data-close]"))
    button.addEventListener("click", () => button.closest("dialog").close());

  window.opsite.pool = { page, byId, make, cell, time, fill, hear: (other) => heard.push(other) };
  document.addEventListener("DOMContentLoaded", () => opsite.follow("pool", page.dataset.slug, draw));
})();
