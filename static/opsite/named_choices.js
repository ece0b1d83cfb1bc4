// Select2's boxes carry no name of their own: each gets the one of its field's label, for who hears the page.
"use strict";
addEventListener("load", () => {
  for (const box of document.querySelectorAll(".select2-container .select2-selection--single")) {
    const field = box.closest(".select2-container").previousElementSibling;
    const label = field && document.querySelector(`label[for="${CSS.escape(field.id)}"]`);
    if (!label) continue;
    const shown = box.querySelector(".select2-selection__rendered");
    label.id ||= `${field.id}-label`;
    box.setAttribute("aria-labelledby", `${label.id} ${shown.id}`);
    shown.setAttribute("aria-labelledby", label.id);
  }
});
