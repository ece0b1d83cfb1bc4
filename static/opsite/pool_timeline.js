// The timeline of a pool: demand and workers over each other, a mark for each decision, live at the right edge.
//
// Recorded columns come by HTTP: when the span changes, once a minute, and when something new was decided. Between them each
// snapshot of the topic `pool` is one moment more. Decisions are buttons in one group: one stop for Tab, arrow keys within.
"use strict";
(() => {
  const { byId, make, link, across, fill, moment } = opsite;
  const { page, hear } = opsite.pool;
  const AGAIN_S = 60;
  const MANY = 40; // decisions that are drawn large
  const LONG_S = { "1h": 3600, "6h": 21600, "24h": 86400, "7d": 604800 };
  let span = page.dataset.span;
  let until = Number(page.dataset.until) || 0; // 0: now
  let open = page.dataset.decision; // the decision whose reason is shown
  let sought = Boolean(open); // the address names it: it is brought into sight once
  let recorded = null;
  let live = []; // moments since the last recorded column
  let known; // the last decision that the topic told of; null: there is none
  let readAt = 0;
  let asked = 0;

  const chart = opsite.chart(byId("chart"), {
    label: "Tasks that waited and came in, workers wanted and ready, over time. The decisions are in the table below.",
    height: 300,
    series: [
      { name: "waiting (most)", stepped: true, filled: true, colour: 2, unit: "tasks" },
      { name: "came in per minute", stepped: true, colour: 4, unit: "tasks", dash: [2, 3] },
      { name: "workers wanted", stepped: true, right: true, colour: 1, dash: [6, 3], width: 2 },
      { name: "workers ready", stepped: true, right: true, colour: 3, width: 2 },
    ],
    hooks: { draw: [place] },
  });

  function redraw() {
    if (!recorded) return;
    const last = recorded.at[recorded.at.length - 1];
    const more = until ? [] : live.filter((one) => one.at > last);
    const column = (name) => [...recorded[name], ...more.map((one) => one[name])];
    chart.set([column("at"), column("waiting"), column("came"), column("desired"), column("ready")]);
  }

  function place(plot) {
    for (const marker of byId("markers").children) {
      const decision = marker.decision;
      const left = plot.valToPos(decision.at, "x") + plot.over.offsetLeft;
      const inside = decision.at >= plot.scales.x.min && decision.at <= plot.scales.x.max;
      marker.hidden = !inside;
      marker.style.left = left + "px";
      marker.style.top = plot.valToPos(decision.desired, "right") + plot.over.offsetTop + "px";
    }
  }

  const change = (decision) => decision.current + " → " + decision.desired;
  const address = (decision) => "?decision=" + decision.id;

  function show(decision) {
    open = decision.id;
    const head = make("p", "", moment(decision.at), ": ", make("strong", "", change(decision) + " workers"), " · ", link(address(decision), "link to it"));
    byId("card").replaceChildren(head, make("p", "", decision.reason), make("p", "quiet", decision.signals));
    for (const marked of document.querySelectorAll("[data-id]")) {
      if (marked.dataset.id === open) marked.setAttribute("aria-current", "true");
      else marked.removeAttribute("aria-current");
    }
  }

  const shape = ({ current, desired }) => (desired > current ? "up" : desired < current ? "down" : "same");

  function marker(decision) {
    const made = make("button", "pool-marker " + shape(decision));
    made.type = "button";
    made.dataset.id = decision.id;
    made.decision = decision;
    made.setAttribute("aria-label", opsite.when(new Date(decision.at * 1000)) + ": " + change(decision) + " workers");
    for (const event of ["pointerenter", "focus", "click"]) made.addEventListener(event, () => show(decision));
    return made;
  }

  function drawMarkers(decisions) {
    const group = byId("markers");
    const focused = group.contains(document.activeElement) ? document.activeElement.dataset.id : null;
    group.classList.toggle("many", decisions.length > MANY);
    group.replaceChildren(...[...decisions].reverse().map(marker));
    const stop = [...group.children].find((one) => one.dataset.id === (focused || open)) || group.lastElementChild;
    for (const one of group.children) one.tabIndex = one === stop ? 0 : -1;
    if (focused && stop.dataset.id === focused) stop.focus();
  }

  byId("markers").addEventListener("keydown", (event) => {
    const all = [...byId("markers").children].filter((one) => !one.hidden);
    const at = all.indexOf(document.activeElement);
    const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[event.key];
    if (next === undefined || !all[next]) return;
    event.preventDefault();
    for (const one of all) one.tabIndex = -1;
    all[next].tabIndex = 0;
    all[next].focus();
  });

  function drawRow(decision) {
    const why = make("td", "wrap", make("div", "", decision.reason), make("div", "quiet", decision.signals));
    const row = make("tr", "", make("td", "", link(address(decision), moment(decision.at))), make("td", "", change(decision)), why);
    row.dataset.id = decision.id;
    return row;
  }

  function draw(told) {
    recorded = told;
    live = live.filter((one) => one.at > told.until);
    redraw();
    drawMarkers(told.decisions);
    const rows = told.decisions.map(drawRow);
    if (told.more_decisions) rows.push(across(byId("decisions").closest("table"), told.more_decisions + " more in this span: choose a shorter one."));
    fill("decisions", rows, "No decision in this span: nothing had to change.");
    place(chart.plot);
    const chosen = told.decisions.find((one) => one.id === open);
    if (chosen) show(chosen);
    if (sought && chosen) byId("decisions").querySelector("[aria-current]").scrollIntoView({ block: "nearest" });
    sought = false;
    byId("span-told").replaceChildren(moment(told.since), " to ", until ? moment(told.until) : "now");
  }

  async function read() {
    const mine = ++asked;
    readAt = Date.now() / 1000;
    const query = new URLSearchParams({ span, ...(until ? { until } : {}) });
    try {
      const answer = await fetch(page.dataset.series + "?" + query, { headers: { Accept: "application/json" } });
      if (mine !== asked) return;
      if (!answer.ok) throw new Error("The server answered " + answer.status + ".");
      draw(await answer.json());
    } catch (error) {
      if (mine === asked) byId("span-told").textContent = "The timeline cannot be read now. " + error.message;
    }
  }

  function choose(newSpan, newUntil) {
    span = newSpan;
    until = newUntil && newUntil < Date.now() / 1000 ? newUntil : 0;
    for (const button of document.querySelectorAll("[data-span][aria-pressed]"))
      button.setAttribute("aria-pressed", String(button.dataset.span === span));
    read();
  }

  for (const button of document.querySelectorAll("[data-span][aria-pressed]"))
    button.addEventListener("click", () => choose(button.dataset.span, until));
  const end = () => until || Date.now() / 1000;
  byId("earlier").addEventListener("click", () => choose(span, end() - LONG_S[span] / 2));
  byId("later").addEventListener("click", () => choose(span, end() + LONG_S[span] / 2));
  byId("to-now").addEventListener("click", () => choose(span, 0));

  hear((state) => {
    live.push({ at: state.at, waiting: state.waiting === undefined ? null : state.waiting, came: null, desired: state.desired, ready: state.ready });
    if (until) return;
    const isNew = known !== undefined && state.decision !== known;
    known = state.decision;
    if (isNew || state.at - readAt >= AGAIN_S) read();
    else redraw();
  });
  read();
})();
