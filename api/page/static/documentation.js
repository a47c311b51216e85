// Starts the viewer of the page: Swagger UI at /docs, Redoc at /redoc.
"use strict";
document.body.style.margin = "0";
if (document.getElementById("swagger")) {
  SwaggerUIBundle({ url: "/openapi.json", dom_id: "#swagger", deepLinking: true, validatorUrl: null });
} else {
  // Its search would need a worker made of a string, which the policy refuses.
  Redoc.init("/openapi.json", { disableSearch: true, hideLoading: true }, document.getElementById("redoc"));
}
