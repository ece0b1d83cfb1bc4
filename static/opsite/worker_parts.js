// What the worker's page is made of: figures, bars of a start's phases, moments. Text goes in by textContent only.
"use strict";
window.opsite = Object.assign(window.opsite || {}, (() => {
  const NAMES = { runtime: "runtime", interpreter: "Python", import: "import", engine: "engine", load: "weights", compile: "compile", first_token: "first token", heard: "heard of" };
  const ORDER = Object.keys(NAMES);

  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined && text !== null) made.textContent = text;
    if (className) made.className = className;
    return made;
  }

  function seconds(s) {
    if (s < 10) return s.toFixed(1) + " s";
    if (s < 120) return Math.round(s) + " s";
    if (s < 7200) return Math.round(s / 60) + " min";
    return (s / 3600).toFixed(1) + " h";
  }

  // A moment in the console's zone; the exact one, in UTC, is its title.
  function moment(iso) {
    const at = new Date(iso);
    const made = element("time", opsite.when(at));
    made.dateTime = iso;
    made.title = at.toISOString();
    return made;
  }

  function gauge(share) {
    const made = element("div", null, "gauge");
    made.setAttribute("aria-hidden", "true"); // the figures beside it say the same
    const filled = element("span");
    filled.style.width = Math.max(0, Math.min(100, share * 100)) + "%";
    made.append(filled);
    return made;
  }

  // One figure: name, value, and what explains it. `bars` are more of them, [[words, share], …], each drawn as well.
  function figure({ name, value, more, share, bars, warn }) {
    const made = element("div", null, [warn ? "warn" : "", bars ? "wide" : ""].join(" ").trim());
    made.append(element("dt", name));
    if (value !== undefined) made.append(element("dd", value, "value"));
    if (more) made.append(element("dd", more, "more"));
    for (const [words, part] of bars || (share === undefined ? [] : [["", share]])) {
      const bar = element("dd", words, words ? "said" : "");
      bar.append(gauge(part));
      made.append(bar);
    }
    return made;
  }

  function phases(title, of, longest_s) {
    const total = of.reduce((sum, phase) => sum + phase.s, 0);
    const made = element("div", null, "phases");
    made.append(element("p", title + ": " + seconds(total)));
    const strip = element("div", null, "strip");
    strip.setAttribute("aria-hidden", "true");
    const legend = element("ul", null, "legend");
    for (const phase of of) {
      const colour = "var(--phase-" + ORDER.indexOf(phase.name) + ")";
      const part = element("span");
      part.style.width = (100 * phase.s) / longest_s + "%";
      part.style.background = colour;
      part.title = NAMES[phase.name] + ", " + seconds(phase.s);
      strip.append(part);
      const item = element("li", NAMES[phase.name] + " " + seconds(phase.s));
      item.style.setProperty("--of", colour);
      legend.append(item);
    }
    made.append(strip, legend);
    return made;
  }

  return { element, seconds, moment, figure, phases, phaseName: (name) => NAMES[name] || name };
})());
