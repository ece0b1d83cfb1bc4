// Select2's boxes carry no name of their own: each gets the one of its field's label, for who hears the page. They come when jQuery
// is ready, and with each form that is added, so the page is watched for them.
"use strict";
function nameChoices() {
  for (const box of document.querySelectorAll(".select2-container .select2-selection--single:not([data-named])")) {
    const field = box.closest(".select2-container").previousElementSibling;
    const label = field && document.querySelector(`label[for="${CSS.escape(field.id)}"]`);
    const shown = box.querySelector(".select2-selection__rendered");
    if (!label || !shown) continue;
    label.id ||= `${field.id}-label`;
    box.setAttribute("aria-labelledby", `${label.id} ${shown.id}`);
    shown.setAttribute("aria-labelledby", label.id);
    box.dataset.named = "";
  }
}
new MutationObserver(nameChoices).observe(document.documentElement, { childList: true, subtree: true });
