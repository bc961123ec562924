"use strict";
(() => {
  // --- charts: a static picture until the chart is near the window, then one that takes clicks
  const views = [], chosen = new Set();

  const draw = async (box) => {
    const spec = JSON.parse(box.querySelector("script").textContent), host = document.createElement("div");
    const still = box.querySelector("svg");
    box.prepend(host);
    box.classList.add("drawing");
    try {
      const { view } = await vegaEmbed(host, spec, { renderer: "svg", actions: false, ast: true, tooltip: { disableDefaultStyle: true, theme: "page" } });
      views.push(view);
      still.remove();
      if (chosen.size) filter(view);
      walkable(host);
    } catch (error) {
      host.remove();  // the picture stays
      console.error(error);
    }
    box.classList.remove("drawing");
  };
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "300px" });
  for (const box of document.querySelectorAll(".vega")) seen.observe(box);

  // --- the legend chooses the settings of every chart
  const filter = (view) => view.signal("chosen", [...chosen]).runAsync();
  const choose = (setting) => {
    if (setting === undefined) chosen.clear();
    else if (!chosen.delete(setting)) chosen.add(setting);
    for (const button of document.querySelectorAll(".legend button")) {
      if (button.classList.contains("all")) button.hidden = !chosen.size;
      else button.setAttribute("aria-pressed", chosen.has(button.dataset.setting));
    }
    views.forEach(filter);
  };
  addEventListener("click", (event) => {
    const button = event.target.closest?.(".legend button");
    if (button) choose(button.dataset.setting);
  });

  // --- one stop of the Tab key a chart; the arrow keys go from mark to mark
  const walkable = (host) => {
    const stops = () => [...host.querySelectorAll("svg path[role='graphics-symbol'][aria-label]")];
    // what a pointer on the mark would do
    const tell = (mark) => {
      const box = mark.getBoundingClientRect();
      let at = { clientX: (box.left + box.right) / 2, clientY: (box.top + box.bottom) / 2 };
      if (mark.parentNode.classList.contains("mark-line")) {  // the end of a line
        const end = mark.getPointAtLength(mark.getTotalLength()).matrixTransform(mark.getScreenCTM());
        at = { clientX: end.x, clientY: end.y };
      }
      mark.dispatchEvent(new PointerEvent("pointermove", { ...at, bubbles: true, pointerType: "mouse" }));
    };
    const hush = () => document.getElementById("vg-tooltip-element")?.classList.remove("visible");
    const first = stops()[0];
    if (first) first.tabIndex = 0;
    host.addEventListener("focusin", (event) => { if (event.target.matches("path[role='graphics-symbol']")) tell(event.target); });
    host.addEventListener("focusout", hush);
    host.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hush();
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const marks = stops(), at = marks.indexOf(document.activeElement);
      if (!step || at < 0) return;
      event.preventDefault();
      const next = marks[(at + step + marks.length) % marks.length];
      marks[at].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  };

  // --- folded parts: a link to one opens it, paper shows all
  const open = () => {
    const part = document.querySelector(`section${location.hash || "#"}`.replace(/#$/, "#none"))?.querySelector("details.part");
    if (part) part.open = true;
  };
  addEventListener("hashchange", open);
  open();
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });

  // --- tables sort. A cell's number: what it says in data-value, else what its text begins with; cells without one come last
  const value = (cell) => {
    const text = (cell.dataset.value ?? cell.textContent).trim();
    const number = parseFloat(text);
    return cell.classList.contains("number") || !Number.isNaN(Number(text)) ? number : text;
  };
  const lost = (x) => x === "" || Number.isNaN(x);
  const order = (a, b) => {
    if (lost(a) || lost(b)) return lost(a) - lost(b);
    return typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].map((row) => [value(row.cells[column]), row]);
        rows.sort(([a], [b]) => (down && !lost(a) && !lost(b) ? order(b, a) : order(a, b)));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }
})();
