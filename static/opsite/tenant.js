// A tenant's page: the bars of its limits, live.
"use strict";
(() => {
  const { byId, make } = opsite;

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
    if (one.stopped) part.append(make("p", "notice", one.stopped));
    const list = make("ul", "limits");
    list.setAttribute("aria-label", one.name ? "Limits of the key " + one.name : "Limits of the tenant");
    list.append(...one.bars.map(bar));
    part.append(list);
    return part;
  }

  function draw(state) {
    const place = byId("limits");
    if (state.error) place.replaceChildren(make("p", "notice", state.error));
    else place.replaceChildren(...state.owners.map(owner));
    const shares = state.shares.map((one) => make("li", "", make("strong", "", one.pool), ": " + one.text));
    byId("shares").replaceChildren(...(shares.length ? shares : [make("li", "", "None of its agents has a pool yet.")]));
  }

  draw(JSON.parse(byId("state").textContent));
  opsite.follow("tenant", byId("tenant").dataset.name, draw);
})();
