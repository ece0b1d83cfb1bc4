// Charts over time, by uPlot. Needs vendor/uplot before it.
//
//   const chart = opsite.chart(host, { label: "Queue depth", unit: "tasks", series: [{ name: "waiting" }, { name: "ready", stepped: true }] });
//   chart.set([[seconds…], [values…], …]);      // Unix seconds, then one list per series; null is a gap, never zero
//
// A series with `right` goes by an axis of its own, on the right; it may have a `unit` of its own. `whole`: what is counted has no halves.
// Colours are the custom properties --chart-1 … --chart-6 of console.css, which hold in light and dark.
// `label` is what a screen reader says of it; the page gives the same figures in words or a table.
"use strict";
(() => {
  const colour = (n) => getComputedStyle(document.documentElement).getPropertyValue("--chart-" + n).trim();
  const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--chart-ink").trim();
  const charts = new Set();

  function plotted(host, asked) {
    const series = asked.series.map((one, i) => ({
      label: one.name,
      stroke: () => colour(one.colour || (i % 6) + 1),
      fill: one.filled ? () => colour(one.colour || (i % 6) + 1) + "33" : undefined,
      width: one.width || 1.5,
      dash: one.dash,
      paths: one.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
      points: { show: false },
      scale: one.right ? "right" : "y",
      value: (_, value) => {
        const unit = one.unit || asked.unit;
        return value === null || value === undefined ? "–" : value.toLocaleString() + (unit ? " " + unit : "");
      },
    }));
    const axis = { stroke: ink, grid: { stroke: () => ink() + "22", width: 1 }, ticks: { show: false }, font: "12px sans-serif" };
    const time = {
      ...axis,
      values: (_, moments, _axis, _space, step) => {
        let before = "";
        return moments.map((moment) => {
          const [day, clock] = opsite.when(new Date(moment * 1000)).split(" ");
          const shown = step >= 86400 ? day.slice(5) : clock.slice(0, step < 60 ? 8 : 5) + (day === before ? "" : "\n" + day.slice(5));
          before = day;
          return shown;
        });
      },
    };
    const range = (_, low, high) => [Math.min(0, low || 0), Math.max(asked.least || 1, high || 0) * 1.05];
    const right = asked.series.some((one) => one.right);
    const whole = { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000] };
    const left = { ...axis, size: 56, ...(asked.whole ? whole : {}) };
    const axes = [time, left, ...(right ? [{ ...axis, scale: "right", side: 1, size: 40, grid: { show: false }, ...whole }] : [])];
    const bare = asked.sparkline
      ? { axes: [{ show: false }, { show: false }], legend: { show: false }, cursor: { show: false } }
      : { axes, cursor: asked.cursor || {} };
    return new uPlot(
      {
        width: host.clientWidth || 300,
        height: asked.height || 200,
        series: [{ value: (_, at) => (at === null ? "–" : opsite.when(new Date(at * 1000))) }, ...series],
        tzDate: (at) => uPlot.tzDate(new Date(at * 1000), opsite.zone()),
        scales: { y: { range }, ...(right ? { right: { range } } : {}) },
        hooks: asked.hooks || {},
        plugins: asked.plugins || [],
        ...bare,
      },
      [[], ...asked.series.map(() => [])],
      host,
    );
  }

  function chart(host, asked) {
    host.setAttribute("role", "img");
    host.setAttribute("aria-label", asked.label);
    const plot = plotted(host, asked);
    const sizes = new ResizeObserver(() => {
      if (host.clientWidth && host.clientWidth !== plot.width) plot.setSize({ width: host.clientWidth, height: asked.height || 200 });
    });
    sizes.observe(host);
    charts.add(plot);
    const remove = () => {
      sizes.disconnect();
      charts.delete(plot);
      plot.destroy();
    };
    return { plot, set: (data) => plot.setData(data), remove };
  }

  // The theme is a class of the root: whoever changes it has the charts drawn anew.
  new MutationObserver(() => charts.forEach((plot) => plot.redraw(false, true))).observe(document.documentElement, {
    attributes: true,
    attributeFilter: ["class"],
  });
  window.opsite = Object.assign(window.opsite || {}, { chart });
})();
