// What htmx does not do: pages that keep themselves up to date, and two keys. Every page works without this file.
"use strict";

(function () {
  // The service says which syncs have something new; each part of the page that shows one of them asks for itself again.
  // A part in which somebody is at work is left alone until they leave it.
  let source = null;
  function renew(part) {
    const typed = Array.from(part.querySelectorAll("input:not([type=hidden])")).some(function (i) { return i.value !== i.defaultValue; });
    if (typed || part.contains(document.activeElement)) part.dataset.stale = "yes";
    else htmx.trigger(part, "news");
  }
  document.addEventListener("focusout", function (e) {
    const part = e.target.closest("[data-stale]");
    if (part && !part.contains(e.relatedTarget)) setTimeout(function () { if (part.isConnected) renew(part); });
  });
  function listen() {
    if (source || !document.querySelector("[data-live]")) return;
    source = new EventSource("/live?seen=" + document.body.dataset.seen);
    source.addEventListener("news", function (e) {
      const syncs = e.data.split(" ");
      document.querySelectorAll("[data-live]").forEach(function (part) {
        const of = part.dataset.live;
        if (of === "*" || syncs.includes("*") || syncs.includes(of)) renew(part);
      });
    });
  }
  // A page that nobody looks at needs no stream; it asks once when it is looked at again.
  document.addEventListener("visibilitychange", function () {
    if (document.hidden) {
      if (source) source.close();
      source = null;
      return;
    }
    listen();
    document.querySelectorAll("[data-live]").forEach(renew);
  });
  window.addEventListener("pagehide", function () {
    if (source) source.close();
    source = null;
  });
  listen();

  document.addEventListener("keydown", function (e) {
    if (e.ctrlKey || e.metaKey || e.altKey || e.target.closest("input, select, textarea")) {
      if (e.key === "Escape" && e.target.matches("#find")) e.target.blur();
      return;
    }
    if (e.key === "/") {
      e.preventDefault();
      document.getElementById("find").focus();
    }
  });
})();
