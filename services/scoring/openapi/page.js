// The script of the page: Swagger UI, and a first request with an example of the running service.
"use strict";

const element = (id) => document.getElementById(id);
const JSON_TYPE = "application/json";

const ui = SwaggerUIBundle({
  url: "./docs.json",
  dom_id: "#calls",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
  defaultModelExpandDepth: 3,
  syntaxHighlight: { activated: false }, // its colours do not follow the colour scheme
  validatorUrl: null, // otherwise the URL of the document is sent to another server
});

async function showState() {
  const state = element("state");
  try {
    const response = await fetch("./readyz"), ready = await response.json();
    state.classList.add(response.ok ? "good" : "bad");
    state.textContent = response.ok ? `serving model version ${ready.version}` : "not ready";
    state.title = ready.error || ready.problem || "";
  } catch {
    state.classList.add("bad");
    state.textContent = "does not answer";
  }
}

// Call the service with the key; give the decoded answer, or throw an error with the service's own message.
async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${element("key").value.trim()}`, "Content-Type": JSON_TYPE };
  const response = await fetch(path, { method, headers, body });
  const answer = await response.json();
  if (!response.ok) throw new Error(`${response.status}: ${answer.error}`);
  return answer;
}

function showProblem(error) {
  element("problem").hidden = !error;
  element("problem").textContent = error ? error.message : "";
}

async function getExample(event) {
  event.preventDefault();
  element("answer").hidden = element("request").hidden = true;
  try {
    const { transaction, about } = await call("GET", "./v1/example");
    element("about").textContent = about;
    element("body").value = JSON.stringify(transaction, null, 2);
    element("request").hidden = false;
    showCommand();
    showProblem(null);
    ui.preauthorizeApiKey("key", element("key").value.trim());
    await putIntoDocument(transaction);
  } catch (error) {
    showProblem(error);
  }
}

// Let the calls below begin with the same example.
async function putIntoDocument(transaction) {
  const shown = await (await fetch("./docs.json")).json();
  for (const [path, body] of [["/v1/score", transaction], ["/v1/score/batch", [transaction]], ["/v1/explain", transaction]]) {
    const content = shown.paths[path].post.requestBody.content[JSON_TYPE];
    content.examples = { "a card of this service": { value: body }, ...content.examples };
  }
  ui.specActions.updateSpec(JSON.stringify(shown));
}

function showCommand() {
  const url = new URL("./v1/score", location).href;
  const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
  element("curl").textContent =
    `curl -sS ${quoted(url)} \\\n  -H "Authorization: Bearer $CARDWATCH_API_KEY" \\\n` +
    `  -H "Content-Type: ${JSON_TYPE}" \\\n  -d ${quoted(element("body").value)}`;
}

async function send() {
  element("answer").hidden = true;
  element("send").disabled = true;
  try {
    const answer = await call("POST", "./v1/score", element("body").value);
    const action = element("action");
    action.className = `badge ${answer.action === "approve" ? "good" : "bad"}`;
    action.textContent = answer.action ?? "repeated";
    element("meaning").textContent = answer.repeated
      ? "The card's state holds this transaction already."
      : answer.degraded
        ? `decided by the rules, because ${answer.degraded_reason}`
        : `probability of fraud ${answer.probability.toFixed(4)}, by model version ${answer.model_version}` +
          (answer.reasons.length ? `; reasons: ${answer.reasons.join(", ")}` : "");
    element("response").textContent = JSON.stringify(answer, null, 2);
    element("answer").hidden = false;
    showProblem(null);
  } catch (error) {
    showProblem(error);
  } finally {
    element("send").disabled = false;
  }
}

element("ask").addEventListener("submit", getExample);
element("body").addEventListener("input", showCommand);
element("send").addEventListener("click", send);
showState();
