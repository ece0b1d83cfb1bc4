// A button that copies what stands in a field: `<button data-copies="id of the field">`, and a place `copied` for the word on it.
"use strict";
for (const button of document.querySelectorAll("[data-copies]"))
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copies);
    field.select();
    // Without https (but on this machine) a page may not write to the clipboard itself: the selection is there to be copied.
    const done = navigator.clipboard ? await navigator.clipboard.writeText(field.value).then(() => true, () => false) : document.execCommand("copy");
    document.getElementById("copied").textContent = done ? "Copied." : "It is selected: copy it by the keyboard.";
  });
