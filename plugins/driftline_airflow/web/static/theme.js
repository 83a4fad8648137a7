// Light or dark as Airflow's own pages are, which keep the choice in the browser. It runs first, so that nothing flickers.
(() => {
  const apply = () => {
    let theme = null;
    try {
      theme = localStorage.getItem("theme");
    } catch {
      // a browser that keeps nothing: the system's setting stands
    }
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    document.dispatchEvent(new CustomEvent("theme"));
  };
  apply();
  addEventListener("storage", (event) => {
    if (event.key === "theme") apply();
  });
})();
