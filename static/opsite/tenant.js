// A tenant's page: the bars of its limits, live, and times in the viewer's zone.
"use strict";
(() => {
  const page = document.getElementById("tenant");

  function make(tag, className, text) {
    const one = document.createElement(tag);
    if (className) one.className = className;
    if (text !== undefined) one.textContent = text;
    return one;
  }

  function bar(one) {
    const row = make("li", "limit " + one.level);
    row.append(make("span", "name", one.name));
    const track = make("span", "track");
    track.setAttribute("aria-hidden", "true"); // the text beside it says the same
    if (one.part !== null) {
      const fill = make("span", "fill");
      fill.style.width = Math.max(one.part * 100, one.part ? 1 : 0) + "%";
      track.append(fill);
    } else track.classList.add("unlimited");
    const words = one.level === "full" ? "full: " : one.level === "nearly" ? "nearly full: " : "";
    row.append(track, make("span", "text", words + one.text));
    return row;
  }

  function owner(one) {
    const part = make("div", "owner");
    if (one.name) part.append(make("h3", "", "Key " + one.name));
    if (one.stopped) part.append(make("p", "warning", one.stopped));
    const list = make("ul", "plain limits");
    list.setAttribute("aria-label", one.name ? "Limits of the key " + one.name : "Limits of the tenant");
    list.append(...one.bars.map(bar));
    part.append(list);
    return part;
  }

  function draw(state) {
    const place = document.getElementById("limits");
    if (state.error) place.replaceChildren(make("p", "warning", state.error));
    else place.replaceChildren(...state.owners.map(owner));
    const shares = state.shares.map((one) => {
      const item = make("li");
      item.append(make("strong", "", one.pool), ": " + one.text);
      return item;
    });
    document.getElementById("shares").replaceChildren(...(shares.length ? shares : [make("li", "", "None of its agents has a pool yet.")]));
  }

  for (const time of document.querySelectorAll("time[datetime]")) {
    time.title = new Date(time.dateTime).toISOString();
    time.textContent = opsite.when(new Date(time.dateTime));
  }
  draw(JSON.parse(document.getElementById("state").textContent));
  opsite.follow("tenant", page.dataset.name, draw);
})();
