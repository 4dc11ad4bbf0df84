// Shows the document of this service. No validator: that would send the document to another host.
const form = document.querySelector("#key");
let key = "";

// Where the service wants a key, the page asks for it, and forgets it when it is closed.
function withKey(request) {
  if (key) request.headers = { ...request.headers, authorization: `Bearer ${key}` };
  return request;
}

const show = () => SwaggerUIBundle({
  url: "schema/openapi.json",
  requestInterceptor: withKey,
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});

async function start() {
  const answer = await fetch("schema/openapi.json", withKey({ method: "HEAD" }));
  form.hidden = answer.status !== 401;
  if (form.hidden) window.ui = show();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  key = form.elements.key.value.trim();
  start();
});
start();
