// The overview: draws each snapshot of the topic `overview`.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const before = new Map(); // pool → [time, tokens]

  function cell(row, text, className) {
    const td = document.createElement("td");
    td.textContent = text;
    if (className) td.className = className;
    row.append(td);
    return td;
  }

  function tokensPerSecond(pool) {
    const now = performance.now() / 1000;
    const [at, tokens] = before.get(pool.slug) || [now, pool.tokens_total];
    before.set(pool.slug, [now, pool.tokens_total]);
    return now > at && pool.tokens_total >= tokens ? Math.round((pool.tokens_total - tokens) / (now - at)) : 0;
  }

  function notesOf(pool) {
    const notes = pool.paused ? ["Scaling is paused."] : [];
    if (pool.stock) notes.push(pool.stock);
    if (pool.rollout) notes.push(pool.rollout);
    notes.push(...pool.refusals.filter((sentence) => sentence !== pool.stock));
    if (pool.failed) notes.push(pool.failed + " failed so far.");
    return notes.join(" ");
  }

  function drawPool(pool) {
    const row = document.createElement("tr");
    cell(row, pool.slug, "name");
    cell(row, pool.engine);
    if (pool.error) {
      cell(row, pool.error, "bad").colSpan = 5;
      cell(row, notesOf(pool), "bad");
      return row;
    }
    cell(row, pool.waiting, pool.waiting ? "n warn" : "n");
    cell(row, pool.oldest_wait_s + " s", "n");
    cell(row, pool.running + " / " + pool.slots, "n");
    const fleet = cell(row, "");
    for (const [state, count] of Object.entries(pool.workers))
      for (let i = 0; i < count; i++) {
        const badge = document.createElement("span");
        badge.className = "badge " + state;
        badge.textContent = state;
        fleet.append(badge);
      }
    if (!fleet.childNodes.length) fleet.textContent = "none";
    cell(row, tokensPerSecond(pool).toLocaleString(), "n");
    const said = cell(row, notesOf(pool), "bad");
    if (pool.start) {
      const start = document.createElement("div");
      start.className = "quiet";
      start.textContent = pool.start;
      said.append(start);
    }
    return row;
  }

  function drawDecision(decision) {
    const row = document.createElement("tr");
    cell(row, new Date(decision.at).toLocaleTimeString());
    cell(row, decision.pool, "name");
    cell(row, decision.current + " → " + decision.desired);
    cell(row, decision.reason);
    return row;
  }

  function fill(id, rows, columns, nothing) {
    if (!rows.length) {
      const row = document.createElement("tr");
      cell(row, nothing).colSpan = columns;
      rows = [row];
    }
    byId(id).replaceChildren(...rows);
  }

  opsite.follow("overview", "", (state) => {
    fill("pools", state.pools.map(drawPool), 8, "No pool yet: add one under Models.");
    fill("decisions", state.decisions.map(drawDecision), 4, "No decision yet: nothing had to change.");
  });
})();
