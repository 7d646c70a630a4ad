// Whatever goes wrong is said on the page: a report that is half drawn must not look whole.
"use strict";
function failed(message) {
  const box = document.getElementById("errors");
  box.hidden = false;
  box.textContent += `This page could not be drawn whole: ${message}\n`;
}
addEventListener("error", (event) => failed(event.message));
addEventListener("unhandledrejection", (event) => failed(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => failed(event.violatedDirective));
