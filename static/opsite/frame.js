// What the theme's widgets leave out: names for the boxes that one types in.
"use strict";

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
