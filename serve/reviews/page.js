"use strict";
// Texts of prompts and answers go into the page as text nodes only. The key stays in this tab.

const KEPT = "pointsman.key";
const REFRESH_MS = 10000;

// What hides or reorders text would show a reviewer something else than what a client gets.
function visible(text) {
  const hidden = /\p{Extended_Pictographic}[\ufe0f\u200d]{1,2}|[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\u{e0000}-\u{e0fff}]/gu;
  return text.replace(hidden, (one) => {
    const number = one.codePointAt(0);
    const emoji = /^\p{Extended_Pictographic}/u.test(one);
    return emoji || one === "\r" ? one : `[U+${number.toString(16).toUpperCase().padStart(4, "0")}]`;
  });
}

function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h`;
  return `${Math.floor(whole / 86400)} days`;
}

// Everything of one choice that a client would read, each with a heading.
function parts(choice) {
  const message = choice.message;
  const found = [];
  if (message.reasoning_content) found.push(["reasoning", message.reasoning_content]);
  if (message.content) found.push(["text", message.content]);
  if (message.refusal) found.push(["refusal", message.refusal]);
  for (const call of message.tool_calls || []) {
    found.push([`call of ${call.function.name}`, call.function.arguments]);
  }
  return found.length ? found : [["text", "(empty)"]];
}

function start() {
  const at = (id) => document.getElementById(id);
  let current = null;
  let round = 0;

  function element(name, text, kind) {
    const made = document.createElement(name);
    made.textContent = visible(text);
    if (kind) made.className = kind;
    return made;
  }

  function say(text) {
    at("state").textContent = visible(text);
  }

  async function ask(path, body) {
    const key = sessionStorage.getItem(KEPT);
    const headers = key ? { authorization: `Bearer ${key}` } : {};
    const options = { headers, cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" };
    if (body !== undefined) {
      headers["content-type"] = "application/json";
      Object.assign(options, { method: "POST", body: JSON.stringify(body) });
    }
    const answer = await fetch(path, options);
    const document = await answer.json();
    if (answer.ok) return document;
    if (answer.status === 401) letIn();
    throw new Error(answer.status === 401 && !key ? "Reviewers show a key." : document.error.message);
  }

  function letIn() {
    at("door").hidden = false;
    at("list").hidden = true;
    close();
    at("key").focus();
  }

  async function refresh() {
    const mine = ++round;
    try {
      const found = await ask("v1/reviews?status=pending");
      if (mine !== round) return;
      at("door").hidden = true;
      at("list").hidden = found.data.length === 0;
      at("rows").replaceChildren(...found.data.map(row));
      const count = found.has_more ? `more than ${found.data.length}` : `${found.data.length}`;
      say(found.data.length ? `${count} waiting, oldest first` : "Nothing waits.");
    } catch (error) {
      if (mine === round) say(error.message);
    }
    at("forget").hidden = !sessionStorage.getItem(KEPT);
  }

  function row(review) {
    const now = Date.now() / 1000;
    const made = document.createElement("tr");
    made.dataset.id = review.id;
    if (current && current.id === review.id) made.className = "chosen";
    made.append(
      element("td", span(now - review.created_at)),
      element("td", span(review.expires_at - now)),
      element("td", review.class, review.class),
      element("td", review.task.replaceAll("_", " ")),
      element("td", review.lane),
      element("td", review.asked_by || ""),
      element("td", review.reason.text),
    );
    const last = document.createElement("td");
    const button = element("button", review.may_decide ? "Read" : "Your own");
    button.type = "button";
    button.disabled = !review.may_decide;
    button.addEventListener("click", () => read(review.id));
    last.append(button);
    made.append(last);
    return made;
  }

  async function read(id) {
    try {
      const review = await ask(`v1/reviews/${encodeURIComponent(id)}`);
      if (!review.held) throw new Error("It waits no longer, or is not yours to decide");
      current = review;
      at("note").value = "";
      at("title").textContent = review.id;
      at("why").textContent = visible(`${review.reason.text} (${review.reason.code}; ${review.class}, ${review.lane})`);
      at("unseen").hidden = !review.unseen;
      at("unseen").textContent = `${review.unseen} image or audio part(s) of the request are not shown.`;
      at("prompt").textContent = visible(review.held.prompt);
      const pieces = review.held.answer.choices.flatMap((choice, number) => parts(choice).map(([name, text]) => [number, name, text]));
      at("answer").replaceChildren(...pieces.flatMap(([number, name, text]) => {
        const words = element("pre", text);
        words.dir = "auto";
        return [element("small", `choice ${number + 1}, ${name}`), words];
      }));
      at("open").hidden = false;
      at("open").scrollIntoView({ block: "nearest" });
      for (const one of at("rows").children) one.className = one.dataset.id === id ? "chosen" : "";
    } catch (error) {
      say(error.message);
    }
  }

  function close() {
    current = null;
    at("open").hidden = true;
    at("prompt").textContent = "";
    at("answer").replaceChildren();
  }

  async function decide(verdict) {
    if (!current) return;
    const note = at("note").value.trim();
    if (verdict === "reject" && !note) {
      say("Say why: whoever asked reads the note.");
      at("note").focus();
      return;
    }
    at("approve").disabled = at("reject").disabled = true;
    try {
      const review = await ask(`v1/reviews/${encodeURIComponent(current.id)}/${verdict}`, { note });
      close();
      await refresh();
      say(`${review.id} is ${review.status}.`);
    } catch (error) {
      await refresh();
      say(error.message);
    } finally {
      at("approve").disabled = at("reject").disabled = false;
    }
  }

  at("enter").addEventListener("click", () => {
    sessionStorage.setItem(KEPT, at("key").value.trim());
    at("key").value = "";
    refresh();
  });
  at("key").addEventListener("keydown", (event) => { if (event.key === "Enter") at("enter").click(); });
  at("forget").addEventListener("click", () => { sessionStorage.removeItem(KEPT); letIn(); refresh(); });
  at("refresh").addEventListener("click", refresh);
  at("approve").addEventListener("click", () => decide("approve"));
  at("reject").addEventListener("click", () => decide("reject"));
  at("close").addEventListener("click", close);
  setInterval(() => { if (!document.hidden && at("door").hidden) refresh(); }, REFRESH_MS);
  refresh();
}

if (typeof document !== "undefined") start();
