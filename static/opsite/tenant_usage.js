// A tenant's usage and cost over time: a chart, and the same as a table.
"use strict";
(() => {
  const page = document.getElementById("tenant");
  const form = document.getElementById("usage-choice");
  const host = document.getElementById("usage-chart");
  let chart = null, figures = null, asked = 0;

  function cell(row, text, tag, className) {
    const one = document.createElement(tag || "td");
    one.textContent = text;
    if (className) one.className = className;
    if (tag === "th") one.scope = "row";
    row.append(one);
  }

  function row(name, totals) {
    const one = document.createElement("tr");
    cell(one, name, "th");
    for (const count of ["requests", "failed", "prompt_tokens", "completion_tokens"]) cell(one, totals[count].toLocaleString(), "td", "n");
    cell(one, totals.cost, "td", "n");
    return one;
  }

  function draw() {
    const count = form.elements.count.value, span = form.elements.span;
    if (chart) chart.remove();
    chart = null;
    if (figures.groups.length) {
      chart = opsite.chart(host, {
        label: `${form.elements.count.selectedOptions[0].textContent} by ${form.elements.by.value}, ${span.selectedOptions[0].textContent}; the table below has the totals`,
        unit: count === "cost" ? figures.currency : "",
        least: count === "cost" ? 0.01 : 1,
        height: 220,
        series: figures.groups.map((group) => ({ name: group.name, stepped: true, filled: figures.groups.length === 1 })),
      });
      chart.set([figures.starts, ...figures.groups.map((group) => group.lines[count])]);
    }
    host.hidden = !figures.groups.length;
    document.getElementById("usage-by").textContent = form.elements.by.value;
    const rows = figures.groups.map((group) => row(group.name, group.totals));
    if (rows.length > 1) rows.push(row("all", figures.totals));
    if (!rows.length) {
      const none = document.createElement("tr");
      cell(none, "Nothing was used in this span.");
      none.firstChild.colSpan = 6;
      rows.push(none);
    }
    document.getElementById("usage-rows").replaceChildren(...rows);
    document.getElementById("usage-said").textContent = figures.is_cut
      ? "There is more than can be shown at once: the figures are too low. Choose a shorter span."
      : `Each step is ${figures.interval === "day" ? "a day" : "an hour"} of UTC; tasks count when they have ended.`;
  }

  async function look() {
    const mine = ++asked;
    const query = new URLSearchParams({ span: form.elements.span.value, by: form.elements.by.value });
    const response = await fetch(page.dataset.usage + "?" + query).catch(() => null);
    if (mine !== asked) return;
    if (!response || !response.ok || response.redirected) {
      document.getElementById("usage-said").textContent = "The usage cannot be read at the moment: reload the page.";
      return;
    }
    figures = await response.json();
    draw();
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => (event.target.name === "count" && figures ? draw() : look()));
  look();
})();
