"use strict";
(() => {
  const told = JSON.parse(document.getElementById("marks").textContent);
  const tip = document.getElementById("tip");
  let shown = null, spot = null;  // spot: where a line was pointed at; its box says little of where it runs

  const make = (tag, text, parent) => {
    const element = document.createElement(tag);
    element.textContent = text;
    parent.append(element);
    return element;
  };

  const show = (mark, event) => {
    const line = mark.dataset.line, said = told[mark.dataset.mark ?? line];
    if (!said) return;
    tip.replaceChildren();
    make("strong", said.title, tip);
    const list = make("dl", "", tip);
    for (const [name, text] of said.lines) {
      make("dt", name, list);
      make("dd", text, list);
    }
    if (said.sample && line === undefined) {
      const line = make("p", "", tip);
      make("span", said.sample.prompt, line).className = "muted";
      make("span", said.sample.response, line);
    }
    tip.hidden = false;
    shown = mark;
    spot = line !== undefined && event ? { left: event.clientX, right: event.clientX, top: event.clientY, bottom: event.clientY } : null;
    place();
  };
  const place = () => {
    if (!shown) return;
    const at = spot ?? shown.getBoundingClientRect(), own = tip.getBoundingClientRect(), edge = 12;
    const left = at.right + edge + own.width < innerWidth ? at.right + edge : at.left - edge - own.width;
    const top = (at.top + at.bottom - own.height) / 2;
    tip.style.left = `${Math.max(edge, Math.min(left, innerWidth - own.width - edge))}px`;
    const below = left < edge ? at.bottom + edge : top;
    tip.style.top = `${Math.max(edge, Math.min(below, innerHeight - own.height - edge))}px`;
  };
  const hide = () => {
    tip.hidden = true;
    shown = null;
  };

  // A mouse at rest under a page that the keyboard scrolls points at nothing.
  let mouse = null;
  addEventListener("pointermove", (event) => { mouse = event; }, { passive: true });
  const resting = (event) => event.pointerType === "mouse" && shown !== null && shown === document.activeElement
    && mouse !== null && mouse.clientX === event.clientX && mouse.clientY === event.clientY;

  for (const mark of document.querySelectorAll(".mark, .line")) {
    mark.querySelector("title")?.remove();
    mark.addEventListener("pointerenter", (event) => { if (!resting(event)) show(mark, event); });
    mark.addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse" && shown === mark && document.activeElement !== mark) hide();
    });
    mark.addEventListener("focus", () => { if (shown !== mark) show(mark); });
    mark.addEventListener("blur", () => { if (shown === mark) hide(); });
  }
  for (const path of document.querySelectorAll(".line > path")) {  // a thin line is hard to meet
    const wide = path.cloneNode();
    wide.removeAttribute("style");
    wide.classList.add("wide");
    path.after(wide);
  }
  // One stop of the Tab key a chart; the arrow keys go from mark to mark, then along the lines.
  for (const chart of document.querySelectorAll("svg.chart")) {
    const stops = [...chart.querySelectorAll(".mark"), ...chart.querySelectorAll(".line")];
    stops.forEach((stop, i) => { stop.tabIndex = i ? -1 : 0; });
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key], at = stops.indexOf(document.activeElement);
      if (!step || at < 0) return;
      event.preventDefault();
      const next = stops[(at + step + stops.length) % stops.length];
      stops[at].tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    });
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", place, { passive: true });
  addEventListener("pointerdown", (event) => { if (!event.target.closest?.(".mark, .line")) hide(); });

  // A cell's number: what it says in data-value, else what its text begins with. Cells without one come last.
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
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
})();
