// What all pages are made of: elements, words for figures and moments, dialogs, copying. Text goes in as text, never as markup.
"use strict";
window.opsite = Object.assign(window.opsite || {}, (() => {
  const byId = (id) => document.getElementById(id);
  const known = (value) => value !== null && value !== undefined;

  // make("td", "n", "3 of 4"): an element with its classes and what it holds, strings or nodes; null is left out.
  function make(tag, className, ...children) {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.append(...children.filter(known));
    return made;
  }

  const link = (href, text, className) => Object.assign(make("a", className, text), { href });
  const option = (value, text) => Object.assign(make("option", "", text), { value });

  // A table's row: what it is about, and its cells, each text, node or null, or [text or node, class].
  function row(about, ...cells) {
    const head = Object.assign(make("th", "", about), { scope: "row" });
    return make("tr", "", head, ...cells.map((one) => (Array.isArray(one) ? make("td", one[1], one[0]) : make("td", "", one))));
  }

  // A row of one cell across the whole table.
  function across(table, text) {
    const cell = make("td", "", text);
    cell.colSpan = table.tHead.rows[0].cells.length;
    return make("tr", "", cell);
  }

  // Puts rows into a table's body, or the words for none.
  function fill(id, rows, nothing) {
    const body = byId(id);
    body.replaceChildren(...(rows.length ? rows : [across(body.closest("table"), nothing)]));
  }

  // What has not changed is left alone: focus, selection and screen readers stay where they are.
  function put(node, text) {
    if (node.textContent !== text) node.textContent = text;
  }

  const count = (value) => (known(value) ? value.toLocaleString() : "–");

  // A time that passed, in seconds: 0.42 s, 5.1 s, 48 s, 12 min, 3.5 h, 4 d.
  function seconds(value) {
    if (!known(value)) return "–";
    if (value < 10 && !Number.isInteger(value)) return value.toFixed(value < 1 ? 2 : 1) + " s";
    if (value < 120) return Math.round(value) + " s";
    if (value < 7200) return Math.round(value / 60) + " min";
    return value < 172800 ? (value / 3600).toFixed(1) + " h" : Math.round(value / 86400) + " d";
  }

  // A moment as lists and logs write it, in the console's time zone (settings' TIME_ZONE), wherever the viewer is.
  const zone = () => byId("main")?.dataset.timeZone || "UTC";
  let format = null;
  function when(date) {
    format ||= new Intl.DateTimeFormat("sv-SE", { timeZone: zone(), dateStyle: "short", timeStyle: "medium" });
    return format.format(date);
  }

  // The same as an element, with the exact moment in UTC as its title. `at`: ISO 8601, or Unix seconds.
  function moment(at, words) {
    const date = new Date(typeof at === "number" ? at * 1000 : at);
    const made = make("time", "", words || when(date));
    made.dateTime = made.title = date.toISOString();
    return made;
  }

  // `data-opens` is the id of a dialog, `data-closes` closes the one around it, `data-copies` is the id of what is copied;
  // the word on that goes to #copied.
  document.addEventListener("click", (event) => {
    const pressed = event.target.closest("[data-opens], [data-closes], [data-copies]");
    if (!pressed) return;
    if (pressed.dataset.opens) byId(pressed.dataset.opens).showModal();
    else if (pressed.dataset.copies) copy(byId(pressed.dataset.copies));
    else pressed.closest("dialog").close();
  });

  async function copy(source) {
    if (source.select) source.select();
    else getSelection().selectAllChildren(source);
    // Without https (but on this machine) a page may not write to the clipboard itself: the selection is there to be copied.
    const written = navigator.clipboard ? navigator.clipboard.writeText(source.value ?? source.textContent).then(() => true, () => false) : document.execCommand("copy");
    byId("copied").textContent = (await written) ? "Copied." : "It is selected: press Ctrl+C.";
  }

  // A page that is the answer to a form: reloading it goes on, and sends the form no second time.
  document.addEventListener("DOMContentLoaded", () => {
    const back = document.querySelector("[data-back]");
    if (back) history.replaceState(null, "", back.dataset.back);
  });

  return { byId, make, link, option, row, across, fill, put, count, seconds, zone, when, moment };
})());
