// The bars of lists: a filter sheet that holds the focus while it is open, menus that close, and a question before a deletion.
"use strict";
(() => {
  const visible = (host) => [...host.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
    .filter((one) => !one.disabled && one.type !== "hidden" && one.offsetParent !== null);

  const sheet = document.getElementById("changelist-filter");
  if (sheet) {
    const opener = document.getElementById("filters-button");
    let open = false;
    new MutationObserver(() => {
      const shown = sheet.style.display !== "none";
      if (shown === open) return;
      open = shown;
      if (open) visible(sheet)[0]?.focus(); else opener?.focus();
    }).observe(sheet, { attributes: true, attributeFilter: ["style"] });
    sheet.addEventListener("keydown", (event) => {
      if (event.key !== "Tab") return;
      const all = visible(sheet);
      const [first, last] = [all[0], all[all.length - 1]];
      if (event.shiftKey && document.activeElement === first) { event.preventDefault(); last.focus(); }
      else if (!event.shiftKey && document.activeElement === last) { event.preventDefault(); first.focus(); }
    });
  }

  // On a phone each cell says what it is; the theme calls a row's first one "Select record" where there is nothing to select, too.
  const heads = document.querySelectorAll("#result_list thead th .text");
  for (const cell of document.querySelectorAll("#result_list tbody td:first-child[data-label='Select record']:not(:has(input))"))
    cell.dataset.label = heads[0].textContent.trim();

  const menus = [...document.querySelectorAll("details.list-menu")];
  for (const menu of menus) {
    menu.addEventListener("toggle", () => { if (menu.open) for (const other of menus) if (other !== menu) other.open = false; });
    menu.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && menu.open) { menu.open = false; menu.querySelector("summary").focus(); }
    });
  }
  document.addEventListener("click", (event) => { for (const menu of menus) if (!menu.contains(event.target)) menu.open = false; });

  for (const form of document.querySelectorAll("form[data-confirm]")) {
    form.addEventListener("submit", (event) => {
      if (form.dataset.confirmed) return;
      event.preventDefault();
      const { make } = opsite;
      const [no, yes] = [make("button", "button", "Keep it"), make("button", "button primary danger", "Delete")];
      yes.type = no.type = "button";
      no.dataset.closes = "";
      yes.addEventListener("click", () => { form.dataset.confirmed = "yes"; form.submit(); });
      const dialog = make("dialog", "ask", make("p", "", form.dataset.confirm), make("div", "buttons", yes, no));
      dialog.setAttribute("aria-label", "Are you sure?");
      dialog.addEventListener("close", () => dialog.remove());
      document.body.append(dialog);
      dialog.showModal();
    });
  }
})();
