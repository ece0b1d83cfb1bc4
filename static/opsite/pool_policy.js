// The policy of a pool: what it would have done over the last day, beside the present one and the day as it was, before it is saved.
"use strict";
(() => {
  const { byId, make, row, count, seconds } = opsite;
  const form = byId("policy-form");
  const hasGpus = (result) => result.candidate.figures.gpu_hours !== result.candidate.figures.worker_hours;
  let going = null;
  let charts = null;

  const ranOf = (result) => [result.happened, result.present, result.candidate].filter(Boolean);
  const hours = (value) => value.toFixed(2) + " h";
  const wait = (value) => (value === null ? "never" : seconds(value));
  const percent = (value) => (100 * value).toFixed(2) + " %";

  function rowsOf(result) {
    const rows = [
      ["worker-hours", "worker_hours", hours],
      ["wait, p50", "p50_s", wait],
      ["wait, p95", "p95_s", wait],
      ["wait, p99", "p99_s", wait],
      ["waited over " + result.bound_s + " s", "late", percent],
      ["most workers", "most_workers", count],
      ["starts", "starts", count],
    ];
    if (hasGpus(result)) rows.unshift(["GPU-hours", "gpu_hours", hours]);
    if (ranOf(result).some((ran) => ran.figures.unserved)) rows.push(["never served", "unserved", count]);
    return rows;
  }

  function differing(present, candidate, format) {
    if (present === null || candidate === null || present === candidate) return present === candidate ? "the same" : "–";
    const sign = candidate > present ? "+" : "−";
    return sign + format(Math.abs(candidate - present));
  }

  function compare(result) {
    const rows = rowsOf(result).map(([label, name, format]) => {
      const [present, candidate] = [result.present.figures[name], result.candidate.figures[name]];
      const shown = [...ranOf(result).map((ran) => format(ran.figures[name])), differing(present, candidate, format)];
      return row(label, ...shown.map((text) => [text, "n"]));
    });
    byId("as-it-was").hidden = !result.happened;
    byId("compared").replaceChildren(...rows);
    byId("trial-trust").textContent = result.trust;
    byId("trial-notes").replaceChildren(...result.notes.map((note) => make("li", "", note)));
  }

  function drawCharts(result) {
    byId("trial-result").hidden = false;
    const lines = (unit) => [
      { name: "as it was", stepped: true, colour: 3, unit, filled: true },
      { name: "present policy", stepped: true, colour: 6, unit, dash: [6, 3] },
      { name: "this one", stepped: true, colour: 1, unit, width: 2 },
    ];
    charts = charts || [
      ["ready", opsite.chart(byId("trial-workers"), { label: "Workers ready over the day, as it was and under both policies", height: 150, whole: true, series: lines("workers") })],
      ["waiting", opsite.chart(byId("trial-waiting"), { label: "Tasks waiting over the day, as it was and under both policies", height: 130, whole: true, series: lines("waiting") })],
    ];
    const gap = result.present.at.map(() => null);
    for (const [name, chart] of charts) {
      chart.set([result.present.at, result.happened ? result.happened[name] : gap, result.present[name], result.candidate[name]]);
    }
  }

  function mark(fields) {
    for (const place of form.querySelectorAll("[id^=wrong-]")) {
      const errors = fields[place.id.slice(6)] || [];
      place.hidden = !errors.length;
      place.textContent = errors.join(" ");
    }
    return Object.entries(fields).map(([name, errors]) => (byId("wrong-" + name) ? "" : errors.join(" "))).join(" ");
  }

  // What was tried before is not what the form says now.
  function refuse(why) {
    byId("trial").classList.add("error");
    byId("trial").textContent = why;
    byId("trial-result").hidden = true;
  }

  function busy(isBusy) {
    byId("try").disabled = isBusy;
    byId("stop").hidden = !isBusy;
  }

  byId("stop").addEventListener("click", () => going && going.abort());

  byId("try").addEventListener("click", async () => {
    const told = byId("trial");
    going = new AbortController();
    busy(true);
    told.classList.remove("error");
    told.textContent = "Both policies are run over the last day…";
    try {
      const answer = await fetch(form.dataset.trial, { method: "POST", body: new FormData(form), signal: going.signal });
      const result = await answer.json();
      const rest = mark(result.fields || {});
      if (result.error) {
        refuse((result.error + " " + rest).trim());
        return;
      }
      told.textContent = "Tried. Nothing is saved by that.";
      drawCharts(result);
      compare(result);
      byId("trial-result").scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (error.name === "AbortError") told.textContent = "Stopped.";
      else refuse("It could not be tried: " + error.message);
    } finally {
      going = null;
      busy(false);
    }
  });

  // A form that was not saved comes back: to what is not right with it, or to its first field that is not.
  form.querySelector("[role=alert], [aria-invalid=true]")?.focus();
})();
