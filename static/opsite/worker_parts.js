// What the worker's page is made of: figures, and bars of a start's phases.
"use strict";
window.opsite = Object.assign(window.opsite || {}, (() => {
  const NAMES = { runtime: "runtime", interpreter: "Python", import: "import", engine: "engine", load: "weights", compile: "compile", first_token: "first token", heard: "heard of" };
  const ORDER = Object.keys(NAMES);

  const { make, seconds } = opsite;

  function gauge(share) {
    const made = make("div", "gauge");
    made.setAttribute("aria-hidden", "true"); // the figures beside it say the same
    const filled = make("span");
    filled.style.width = Math.max(0, Math.min(100, share * 100)) + "%";
    made.append(filled);
    return made;
  }

  // One figure: name, value, and what explains it. `bars` are more of them, [[words, share], …], each drawn as well.
  function figure({ name, value, more, share, bars, warn }) {
    const made = make("div", [warn ? "warn" : "", bars ? "wide" : ""].join(" ").trim());
    made.append(make("dt", "", name));
    if (value !== undefined) made.append(make("dd", "value", value));
    if (more) made.append(make("dd", "more", more));
    for (const [words, part] of bars || (share === undefined ? [] : [["", share]])) {
      const bar = make("dd", words ? "said" : "", words);
      bar.append(gauge(part));
      made.append(bar);
    }
    return made;
  }

  function phases(title, of, longest_s) {
    const total = of.reduce((sum, phase) => sum + phase.s, 0);
    const made = make("div", "phases");
    made.append(make("p", "", title + ": " + seconds(total)));
    const strip = make("div", "strip");
    strip.setAttribute("aria-hidden", "true");
    const legend = make("ul", "legend");
    for (const phase of of) {
      const colour = "var(--phase-" + ORDER.indexOf(phase.name) + ")";
      const part = make("span");
      part.style.width = (100 * phase.s) / longest_s + "%";
      part.style.background = colour;
      part.title = NAMES[phase.name] + ", " + seconds(phase.s);
      strip.append(part);
      const item = make("li", "", NAMES[phase.name] + " " + seconds(phase.s));
      item.style.setProperty("--of", colour);
      legend.append(item);
    }
    made.append(strip, legend);
    return made;
  }

  return { figure, phases, phaseName: (name) => NAMES[name] || name };
})());
