"use strict";
(() => {
  const told = JSON.parse(document.getElementById("marks").textContent);
  const tip = document.getElementById("tip");
  let shown = null;

  const make = (tag, text, parent) => {
    const element = document.createElement(tag);
    element.textContent = text;
    parent.append(element);
    return element;
  };

  const show = (mark) => {
    const said = told[mark.dataset.mark];
    if (!said) return;
    tip.replaceChildren();
    make("strong", said.title, tip);
    const list = make("dl", "", tip);
    for (const [name, text] of said.lines) {
      make("dt", name, list);
      make("dd", text, list);
    }
    if (said.sample) {
      const line = make("p", "", tip);
      make("span", said.sample.prompt, line).className = "muted";
      make("span", said.sample.response, line);
    }
    tip.hidden = false;
    shown = mark;
    place();
  };
  const place = () => {
    if (!shown) return;
    const at = shown.getBoundingClientRect(), own = tip.getBoundingClientRect(), edge = 12;
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

  for (const mark of document.querySelectorAll(".mark")) {
    mark.querySelector("title")?.remove();
    mark.addEventListener("pointerenter", () => show(mark));
    mark.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse" && document.activeElement !== mark) hide(); });
    mark.addEventListener("focus", () => show(mark));
    mark.addEventListener("blur", hide);
  }
  addEventListener("keydown", (event) => { if (event.key === "Escape") hide(); });
  addEventListener("scroll", place, { passive: true });
  addEventListener("pointerdown", (event) => { if (!event.target.closest?.(".mark")) hide(); });

  // A cell's number: what it says in data-value, else what its text begins with. Cells without one come last.
  const value = (cell) => {
    const text = (cell.dataset.value ?? cell.textContent).trim();
    const number = parseFloat(text);
    return cell.classList.contains("number") || !Number.isNaN(Number(text)) ? number : text;
  };
  const order = (a, b) => {
    const lost = (x) => x === "" || Number.isNaN(x);
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
        const lost = (x) => x === "" || Number.isNaN(x);
        rows.sort(([a], [b]) => (down && !lost(a) && !lost(b) ? order(b, a) : order(a, b)));
        body.append(...rows.map(([, row]) => row));
      });
    });
  }
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details")) part.open = true; });
})();
