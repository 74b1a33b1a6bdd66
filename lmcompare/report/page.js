// Choosing an arm in a legend makes the others step back, in all charts; choosing it again undoes it.
(() => {
  const keys = [...document.querySelectorAll("button.key")];
  const marks = [...document.querySelectorAll("[data-arm]:not(button)")];
  let chosen = null;
  const show = (arm) => {
    for (const mark of marks) mark.classList.toggle("faded", arm !== null && mark.dataset.arm !== arm);
    for (const key of keys) key.classList.toggle("faded", arm !== null && key.dataset.arm !== arm);
  };
  for (const key of keys) {
    key.addEventListener("click", () => {
      chosen = chosen === key.dataset.arm ? null : key.dataset.arm;
      for (const other of keys) other.setAttribute("aria-pressed", String(other.dataset.arm === chosen));
      show(chosen);
    });
    key.addEventListener("pointerenter", () => show(key.dataset.arm));
    key.addEventListener("pointerleave", () => show(chosen));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    chosen = null;
    for (const key of keys) key.setAttribute("aria-pressed", "false");
    show(null);
  });
  // Printed pages show what is folded on the screen.
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details")) fold.open = true;
  });
})();
