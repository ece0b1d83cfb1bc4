// A tenant's usage and cost over time: a chart, and the same as a table.
"use strict";
(() => {
  const { byId, row, fill, count } = opsite;
  const form = byId("usage-choice");
  const host = byId("usage-chart");
  let chart = null, figures = null, asked = 0;

  const counted = (name, totals) =>
    row(name, ...["requests", "failed", "prompt_tokens", "completion_tokens"].map((one) => [count(totals[one]), "n"]), [totals.cost, "n"]);

  function draw() {
    const shown = form.elements.count.value, span = form.elements.span;
    if (chart) chart.remove();
    chart = null;
    if (figures.groups.length) {
      chart = opsite.chart(host, {
        label: `${form.elements.count.selectedOptions[0].textContent} by ${form.elements.by.value}, ${span.selectedOptions[0].textContent}; the table below has the totals`,
        unit: shown === "cost" ? figures.currency : "",
        least: shown === "cost" ? 0.01 : 1,
        height: 220,
        series: figures.groups.map((group) => ({ name: group.name, stepped: true, filled: figures.groups.length === 1 })),
      });
      chart.set([figures.starts, ...figures.groups.map((group) => group.lines[shown])]);
    }
    host.hidden = !figures.groups.length;
    byId("usage-by").textContent = form.elements.by.value;
    const rows = figures.groups.map((group) => counted(group.name, group.totals));
    if (rows.length > 1) rows.push(counted("all", figures.totals));
    fill("usage-rows", rows, "Nothing was used in this span.");
    byId("usage-said").textContent = figures.is_cut
      ? "There is more than can be shown at once: the figures are too low. Choose a shorter span."
      : `Each step is ${figures.interval === "day" ? "a day" : "an hour"} of UTC; tasks count when they have ended.`;
  }

  async function look() {
    const mine = ++asked;
    const query = new URLSearchParams({ span: form.elements.span.value, by: form.elements.by.value });
    const response = await fetch(byId("tenant").dataset.usage + "?" + query).catch(() => null);
    if (mine !== asked) return;
    if (!response || !response.ok || response.redirected) {
      byId("usage-said").textContent = "The usage cannot be read at the moment: reload the page.";
      return;
    }
    figures = await response.json();
    draw();
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", (event) => (event.target.name === "count" && figures ? draw() : look()));
  look();
})();
