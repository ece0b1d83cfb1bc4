// What every page has: how a moment is written, and what the theme's widgets leave out, names for the boxes that one types in.
"use strict";

// A moment as lists and logs write it, in the console's time zone (settings' TIME_ZONE), wherever the viewer is.
window.opsite = Object.assign(window.opsite || {}, (() => {
  const zone = () => document.getElementById("main")?.dataset.timeZone || "UTC";
  let format = null;
  function when(date) {
    format ||= new Intl.DateTimeFormat("sv-SE", { timeZone: zone(), dateStyle: "short", timeStyle: "medium" });
    return format.format(date);
  }
  return { when, zone };
})());

(() => {
  const labelOf = (select) => (select?.id ? document.querySelector(`label[for="${CSS.escape(select.id)}"]`) : null);
  const nameBoxes = () => {
    for (const box of document.querySelectorAll(".select2-selection")) {
      const label = labelOf(box.closest(".select2-container")?.previousElementSibling);
      if (!label) continue;
      label.id ||= `label-${label.htmlFor}`;
      const shown = box.querySelector(".select2-selection__rendered");
      box.setAttribute("aria-labelledby", shown?.id ? `${label.id} ${shown.id}` : label.id);
      shown?.setAttribute("aria-label", label.textContent.trim());
    }
    for (const hint of document.querySelectorAll(".help-tooltip[aria-label]")) hint.setAttribute("role", "img");
  };
  window.addEventListener("load", () => setTimeout(nameBoxes));
  document.addEventListener("formset:added", () => setTimeout(nameBoxes));
  document.addEventListener("focusin", (event) => {
    if (event.target.matches(".select2-search__field")) event.target.setAttribute("aria-label", "Type to find");
  });
})();
