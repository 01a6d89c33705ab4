// Runs before the first paint, so that the wrong theme never flashes. Classic script: a module would come too late.
(() => {
  try {
    const chosen = localStorage.getItem("tron.theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch {
    // no storage: as the system
  }
})();
