// The overview: draws each snapshot of the topic `overview`, and the sparklines of `overview_hour`.
"use strict";
(() => {
  const SEVERITIES = ["note", "warning", "trouble", "outage"];
  const STILL_MS = 10000; // rows keep their places for so long, that one can read them
  const { byId, make, link, put, count, seconds, moment } = opsite;
  const rounded = (number) => (number < 10 ? number : Math.round(number));

  // Of today the time alone.
  function today(at) {
    const [day, time] = opsite.when(new Date(at * 1000)).split(" ");
    return moment(at, opsite.when(new Date()).startsWith(day) ? time : day + " " + time);
  }

  // -- what is wrong --------------------------------------------------------------------------
  function drawFindings(state) {
    const grave = state.findings.filter((one) => one.severity > 0).length;
    const notes = state.findings.length - grave;
    const more = state.more_findings ? grave + state.more_findings + " things are wrong now" : "";
    put(byId("wrong-title"), more || (grave ? grave + (grave === 1 ? " thing is wrong now" : " things are wrong now") : "Nothing is wrong now"));
    const items = state.findings.map((one) => {
      const name = SEVERITIES[one.severity];
      const item = make("li", "finding " + name, make("span", "severity", name), link(one.url, one.sentence, "what"));
      if (one.since) item.append(moment(one.since, "for " + seconds(Math.round(Math.max(0, (state.at || Date.now() / 1000) - one.since)))));
      return item;
    });
    const list = byId("findings");
    items.forEach((item, i) => {
      const old = list.children[i];
      if (!old) list.append(item);
      else if (old.firstChild.nextSibling.textContent !== item.firstChild.nextSibling.textContent || old.className !== item.className) old.replaceWith(item);
      else if (item.querySelector("time") && old.querySelector("time")) put(old.querySelector("time"), item.querySelector("time").textContent);
    });
    while (list.children.length > items.length) list.lastChild.remove();
    byId("more-findings").hidden = !state.more_findings;
    put(byId("more-findings"), "and " + state.more_findings + " more");
    byId("overview").classList.toggle("well", !grave && !notes);
  }

  // -- totals ---------------------------------------------------------------------------------
  function drawTotals(totals) {
    const told = {
      waiting: count(totals.waiting),
      slots: count(totals.running) + " / " + count(totals.slots),
      tasks: count(rounded(totals.tasks_per_min)),
      tokens: count(Math.round(totals.tokens_per_s)),
      failed: count(rounded(totals.failed_per_min)),
      workers: count(totals.ready) + " / " + count(totals.workers),
      gpus: count(totals.gpus),
    };
    for (const place of document.querySelectorAll("[data-total]")) put(place, told[place.dataset.total]);
  }

  // -- pools ----------------------------------------------------------------------------------
  const shown = new Map(); // slug → its row's parts
  const hours = { times: [], pools: {} };
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries)
      if (entry.isIntersecting) {
        seen.unobserve(entry.target);
        sparkle(entry.target.dataset.pool);
      }
  });

  function sparkle(slug) {
    const row = shown.get(slug);
    const hour = hours.pools[slug];
    if (!row || !hour) return;
    if (!row.chart) {
      const label = "Demand and ready workers of " + slug + " in the last hour";
      const series = [{ name: "demand", filled: true, colour: 1 }, { name: "ready", stepped: true, colour: 3, width: 2 }];
      row.chart = opsite.chart(row.spark, { label, sparkline: true, height: 40, series });
    }
    row.chart.set([hours.times, hour.demand, hour.ready]);
  }

  function newRow(pool) {
    const cell = (name, className) => {
      const td = make("td", className);
      td.dataset.label = name;
      return td;
    };
    const row = {
      body: make("tbody", "pool"),
      name: link(pool.url, pool.slug, "name"),
      kind: make("span", "quiet"),
      state: make("span", "badge paused", "paused"),
      spark: make("div", "spark"),
      waiting: make("span", "big"),
      oldest: make("span", "quiet"),
      waits: cell("wait p50 / p95", "n"),
      bar: make("meter", "slots"),
      slots: make("span", "n"),
      workers: cell("workers", "fleet"),
      tokens: cell("tokens/s", "n"),
      errors: link(pool.failed_url, "", "errors"),
      decided: make("td", "decided"),
      start: make("span", "quiet"),
    };
    row.spark.dataset.pool = pool.slug;
    row.bar.min = 0;
    row.bar.setAttribute("aria-label", "slots in use");
    const head = make("th", "", row.name, " ", row.state, row.kind);
    head.scope = "row";
    const spark = cell("last hour", "spark-cell");
    spark.append(row.spark);
    const queue = cell("waiting", "n");
    queue.append(row.waiting, row.oldest);
    const slots = cell("running / slots", "slots-cell");
    slots.append(row.bar, row.slots);
    const errors = cell("errors", "n");
    errors.append(row.errors);
    row.decided.colSpan = 8;
    row.body.append(make("tr", "figures", head, spark, queue, row.waits, slots, row.workers, row.tokens, errors), make("tr", "why", row.decided));
    row.told = "";
    shown.set(pool.slug, row);
    seen.observe(row.spark);
    return row;
  }

  function drawPool(pool) {
    const row = shown.get(pool.slug) || newRow(pool);
    row.severity = pool.severity || 0; // what is so on purpose does not go before what is busy
    row.busy = (pool.waiting || 0) + (pool.running || 0);
    row.text = [pool.slug, pool.engine, pool.model].join(" ").toLowerCase();
    row.body.className = "pool" + (row.severity > 0 ? " " + SEVERITIES[row.severity] : "");
    put(row.kind, [pool.engine, pool.model.split("/").pop()].filter(Boolean).join(" · "));
    row.kind.title = pool.model;
    row.state.hidden = !pool.paused;
    put(row.waiting, count(pool.waiting));
    put(row.oldest, pool.waiting ? "oldest " + seconds(pool.oldest_wait_s) : "");
    put(row.waits, seconds(pool.wait_p50_s) + " / " + seconds(pool.wait_p95_s));
    row.bar.max = Math.max(1, pool.slots);
    row.bar.value = pool.running || 0;
    put(row.slots, count(pool.running) + " / " + count(pool.slots));
    drawFleet(row.workers, pool.workers);
    put(row.tokens, count(pool.tokens_per_s && Math.round(pool.tokens_per_s)));
    put(row.errors, pool.failed ? (100 * pool.failed / pool.ended).toFixed(1) + " % · " + count(pool.failed_per_min) + "/min" : "0");
    row.errors.classList.toggle("error", pool.failed > 0);
    drawDecision(row, pool);
  }

  function drawFleet(host, workers) {
    const told = Object.entries(workers).filter(([, number]) => number);
    const text = told.map(([state, number]) => number + " " + state).join(", ") || "none";
    if (host.dataset.told === text) return;
    host.dataset.told = text;
    host.replaceChildren(...(told.length ? told.map(([state, number]) => make("span", "badge " + state, number + " " + state)) : [text]));
  }

  function drawDecision(row, pool) {
    const decision = pool.decision;
    const told = pool.error || (decision ? decision.url : "none");
    if (row.told === told) return;
    row.told = told;
    if (pool.error) row.decided.replaceChildren(make("span", "error", "Its queue cannot be read: " + pool.error));
    else if (!decision) row.decided.replaceChildren(make("span", "quiet", "No decision yet: nothing had to change."), row.start);
    else {
      const why = link(decision.url, decision.current + " → " + decision.desired + ": " + decision.reason);
      row.decided.replaceChildren(today(decision.at), " ", why, row.start);
    }
  }

  // -- order and filter -----------------------------------------------------------------------
  let ordered = 0;
  let troubled = "";

  function arrange(pools) {
    const present = new Set(pools.map((pool) => pool.slug));
    for (const [slug, row] of shown)
      if (!present.has(slug)) {
        row.body.remove();
        shown.delete(slug);
      }
    const grave = pools.map((pool) => pool.slug + pool.severity).join();
    if (grave === troubled && performance.now() - ordered < STILL_MS) return;
    const rows = [...shown.entries()].sort(([a, x], [b, y]) => y.severity - x.severity || y.busy - x.busy || a.localeCompare(b));
    const table = byId("pools");
    rows.forEach(([, row], i) => {
      if (table.tBodies[i] !== row.body) table.insertBefore(row.body, table.tBodies[i] || null);
    });
    [ordered, troubled] = [performance.now(), grave];
  }

  function filter() {
    const asked = byId("pool-filter").value.trim().toLowerCase();
    let left = 0;
    for (const row of shown.values()) {
      row.body.hidden = !row.text.includes(asked);
      left += !row.body.hidden;
    }
    const nothing = byId("no-pools");
    nothing.hidden = left > 0;
    put(nothing.querySelector("td"), shown.size ? "No pool is called so." : "No pool yet: add one under Models.");
    put(byId("pools-shown"), left === shown.size ? "" : left + " of " + shown.size);
  }

  // -- decisions ------------------------------------------------------------------------------
  let decided = "";

  function drawDecisions(decisions) {
    const told = decisions.map((one) => one.url).join();
    if (told === decided && decided) return;
    decided = told;
    const items = decisions.map((one) =>
      make("li", "", today(one.at), " ", link(one.pool_url, one.pool, "name"), " ", link(one.url, one.current + " → " + one.desired + ": " + one.reason)),
    );
    byId("decisions").replaceChildren(...(items.length ? items : [make("li", "quiet", "No decision yet: nothing had to change.")]));
  }

  byId("pool-filter").addEventListener("input", filter);
  opsite.follow("overview", "", (state) => {
    drawFindings(state);
    byId("overview").classList.toggle("old", !state.pools);
    if (!state.pools) return; // Postgres is away: what is shown is old
    drawTotals(state.totals);
    state.pools.forEach(drawPool);
    arrange(state.pools);
    filter();
    drawDecisions(state.decisions);
  });
  opsite.follow("overview_hour", "", (hour) => {
    Object.assign(hours, hour);
    for (const [slug, row] of shown) {
      if (row.chart) sparkle(slug);
      else seen.observe(row.spark);
      const told = hour.pools[slug];
      if (told) put(row.start, [told.stock, told.start].filter(Boolean).join(" "));
    }
  });
})();
