// What the theme's own script makes of tables and code blocks, for keyboards and screen readers:
// what can be scrolled can be reached, and each copy button's place has a name of its own.
function reachable() {
  for (const part of document.querySelectorAll(".md-typeset__scrollwrap, pre > code")) {
    part.tabIndex = part.scrollWidth > part.clientWidth ? 0 : -1;
  }
  document.querySelectorAll(".md-code__nav").forEach((buttons, index) => {
    buttons.ariaLabel = `Code ${index + 1}`;
  });
}
window.addEventListener("load", () => {
  reachable();
  new MutationObserver(reachable).observe(document.body, { childList: true, subtree: true });
});
window.addEventListener("resize", reachable);
