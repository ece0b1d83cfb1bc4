// The dialog that keeps what was written as a test input.
//
//   const open = opsite.saveDialog(dialog, { send });   // send(path, body) → decoded JSON, or throws an Error with words
//   open({ tenant, choices: [{ agent, known, messages }] });
"use strict";
window.opsite = Object.assign(window.opsite || {}, {
  saveDialog(dialog, { send, said }) {
    const form = dialog.querySelector("form"), told = dialog.querySelector(".told");
    const { option } = opsite;
    const field = (name) => form.elements[name];
    let asked = null;

    function sets() {
      const one = asked.choices.find((choice) => choice.agent === field("agent").value);
      const known = one && one.known ? one.known.sets : [];
      field("base").replaceChildren(option("", "nothing: a set of this input alone"), ...known.map((set) => option(set.id, `${set.name} (${set.inputs} inputs)`)));
    }

    function expected() {
      field("expected").closest("label").hidden = !field("check").value;
    }

    function checks() {
      const kind = field("check").value;
      if (!kind) return {};
      if (kind !== "json") return { [kind]: field("expected").value };
      try {
        return { json: JSON.parse(field("expected").value) };
      } catch {
        throw new Error("Expected: this is no JSON.");
      }
    }

    field("agent").addEventListener("change", sets);
    field("check").addEventListener("change", expected);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const one = asked.choices.find((choice) => choice.agent === field("agent").value);
      try {
        const saved = await send("inputs/", {
          tenant: asked.tenant, agent: one.agent, name: field("name").value, messages: one.messages,
          base: field("base").value || null, checks: checks(),
        });
        dialog.close();
        said(`Saved in the test set “${saved.name}”, which has ${saved.inputs} ${saved.inputs === 1 ? "input" : "inputs"} now.`, saved.page, "the set");
      } catch (error) {
        told.textContent = error.message;
      }
    });

    return (what) => {
      asked = what;
      told.textContent = "";
      field("agent").replaceChildren(...what.choices.map((choice) => option(choice.agent, choice.agent)));
      sets();
      expected();
      dialog.showModal();
      field("name").focus();
    };
  },
});
