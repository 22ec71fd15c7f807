"use strict";
// Everything goes into the page as text nodes. The key stays in this tab.

const KEPT = "pointsman.key";
const REFRESH_MS = 5000;
const WIDTH = 560;
const HEIGHT = 170;
const LEFT = 54;
const BOTTOM = 18;

function usd(micro) {
  const dollars = Math.abs(micro) / 1e6;
  const digits = dollars === 0 || dollars >= 1 ? 2 : dollars >= 0.001 ? 4 : 6;
  return `${micro < 0 ? "\u2212" : ""}$${dollars.toFixed(digits)}`;
}

function interval(one) {
  return one.low === null ? "–" : `${usd(one.low)} to ${usd(one.high)}`;
}

function share(part, whole) {
  return whole ? `${(100 * part / whole).toFixed(part && part !== whole ? 1 : 0)}%` : "–";
}

function milliseconds(value) {
  if (value === null) return "–";
  return value < 10000 ? `${value < 10 ? value.toFixed(1) : Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
}

function signed(number) {
  return `${number < 0 ? "\u2212" : "+"}${Math.abs(number).toFixed(3)}`;
}

function short(number) {
  if (number >= 1e6) return `${+(number / 1e6).toFixed(1)}M`;
  if (number >= 1e4) return `${+(number / 1e3).toFixed(1)}k`;
  return `${number}`;
}

function start() {
  const at = (id) => document.getElementById(id);
  const unfolded = new Set();
  let round = 0;
  let last = null;

  function element(name, text, kind) {
    const made = document.createElement(name);
    made.textContent = text;
    if (kind) made.className = kind;
    return made;
  }

  function drawn(name, values, text) {
    const made = document.createElementNS(at("blank").namespaceURI, name);
    for (const [key, value] of Object.entries(values)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  async function ask(path) {
    const key = sessionStorage.getItem(KEPT);
    const headers = key ? { authorization: `Bearer ${key}` } : {};
    const options = { headers, cache: "no-store", credentials: "omit", redirect: "error", referrerPolicy: "no-referrer" };
    const answer = await fetch(path, options);
    const document = await answer.json();
    if (answer.ok) return document;
    if (answer.status === 401 || answer.status === 403) letIn();
    throw new Error(answer.status === 401 && !key ? "Whoever looks shows a key." : document.error.message);
  }

  function letIn() {
    at("door").hidden = false;
    at("data").hidden = true;
    at("key").focus();
  }

  async function refresh() {
    const mine = ++round;
    try {
      const found = await ask(`v1/dashboard?hours=${at("hours").value}`);
      if (mine !== round) return;
      at("door").hidden = true;
      show(found);
      at("data").hidden = false;
      at("state").textContent = found.totals.requests ? `as of ${clock(found.at)}` : "No requests in this time.";
    } catch (error) {
      if (mine === round) at("state").textContent = error.message;
    }
    at("forget").hidden = !sessionStorage.getItem(KEPT);
  }

  function clock(ms, hours = 24) {
    const date = new Date(ms);
    return hours > 48 ? date.toLocaleDateString() : date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  }

  function card(name, value, note) {
    const made = element("div", "", "card");
    made.append(element("span", name), element("b", value), element("small", note));
    return made;
  }

  function show(found) {
    const all = found.totals;
    const answered = all.local + all.cloud;
    const success = found.successes.find((one) => one.by === "total");
    last = found;
    at("cards").replaceChildren(
      card("Requests", short(all.requests), `${short(all.failed)} not answered`),
      card("Answered locally", share(all.local, answered), `${share(all.tier1, answered)} by tier 1, target 60 to 70%`),
      card("Spent", usd(all.cost), `${usd(all.always_cloud)} had the cloud answered all`),
      card("Saved", share(all.always_cloud - all.cost, all.always_cloud), usd(all.always_cloud - all.cost)),
      card("Cost per success", success && success.cpst !== null ? usd(success.cpst) : "–",
        success && success.low !== null ? `95%: ${interval(success)}` : "too few successes for an interval"),
      card("Fell back", share(all.fallbacks, all.requests), `${share(all.escalations, all.requests)} escalated`),
      card("Spilled", share(all.spilled, all.requests), "past a lane that was full or down"),
      card("Scout p95", milliseconds(found.scout_p95_ms), `p50 ${milliseconds(found.scout_p50_ms)}, limit ${milliseconds(found.scout_limit_ms)}`),
      card("Local p95", milliseconds(all.local_p95_ms), "until the end of the answer"),
      card("Reviews", `${found.reviews_waiting ?? "–"}`, "wait for a person"),
    );
    at("warnings").hidden = found.warnings.length === 0;
    at("warnings").textContent = found.warnings.join(" ");
    at("split").replaceChildren(bars(found));
    at("spend").replaceChildren(lines(found));
    table("tasks", ["task", "#requests", "#local", "#fell back", "#escalated", "#spent", "#always-cloud", "#good answers"],
      found.tasks.map((one) => [one.task.replaceAll("_", " "), short(one.requests), share(one.local, one.requests),
        share(one.fallbacks, one.requests), share(one.escalations, one.requests), usd(one.cost), usd(one.always_cloud),
        `${short(one.good)} (${one.told} told)`]));
    successes();
    table("lanes", ["lane", "where", "state", "#in flight", "#predicted wait", "#spilled"],
      found.lanes.map((one) => [one.name, one.location, one.state, `${one.in_flight}`, milliseconds(1000 * one.predicted_wait_s), short(one.spilled)]));
    tables(found.tables);
    table("budgets", ["who", "period", "#spent", "#reserved", "#limit", "#used"],
      found.budgets.map((one) => [one.scope, one.period, usd(one.spent), usd(one.reserved), one.limit === null ? "–" : usd(one.limit),
        one.limit === null ? "" : share(one.spent + one.reserved, one.limit)]));
    table("recent", ["at", "task", "class", "answered by", "reason", "outcome", "#attempts", "#cost", "#latency", "#ours", "key", "decision"],
      found.recent.map((one) => [clock(one.at), one.task.replaceAll("_", " "), one.data_class, one.lane ?? "nobody", one.reason.replaceAll("_", " "),
        one.error ?? "ok", `${one.attempts}`, usd(one.cost), milliseconds(one.latency_ms), milliseconds(one.overhead_ms), one.key, one.decision_id]));
    at("foot").textContent = `Policy ${found.policy_version.slice(0, 12)}. ${found.routers} Router(s). Pointsman ${found.version}.`;
  }

  function successes() {
    const by = at("by").value;
    const head = { task: "task type" }[by] ?? by;
    const known = last === null ? [] : last.successes.filter((one) => one.by === by);
    table("successes", [head, "#decisions", "#successes", "#judged", "#spent", "#corrections", "#cost per success", "#95% interval"],
      known.map((one) => [by === "task" ? one.name.replaceAll("_", " ") : one.name, short(one.decisions), share(one.successes, one.decisions),
        short(one.judged), usd(one.cost), usd(one.correction), one.cpst === null ? "–" : usd(one.cpst), interval(one)]));
  }

  function tables(found) {
    at("tables").hidden = found === null;
    if (found === null) return;
    const trial = found.trial;
    at("deciding").textContent = `${found.current ?? "No table"} decides${found.canary ? `; ${found.canary} is on trial with ${share(found.share, 1)} of the requests` : ""}.`
      + (trial ? ` So far ${trial.compared} compared, ${trial.failed} of it failed; beside the current one `
        + `${signed(trial.better)} (95%: ${signed(trial.low)} to ${signed(trial.high)}) in success \u2212 cost / worth: ${trial.why}.` : "");
    const run = found.runs[0];
    at("looked").hidden = !run;
    at("looked").textContent = run ? `Last look for a better one, ${day(run.at)}: ${run.why ?? "still at it"}.` : "";
    table("changes", ["#change", "when", "what", "decides", "on trial", "who", "why"],
      found.changes.map((one) => [`${one.seq}`, day(one.at), one.what.replaceAll("_", " "), one.current ?? found.configured,
        one.canary ? `${one.canary} (${share(one.share, 1)})` : "", one.who, one.why]));
    at("versions").replaceChildren(...found.versions.map(explained));
  }

  function explained(one) {
    const made = element("details", "");
    made.append(element("summary", `${one.version}, kept ${day(one.at)} by ${one.who}: ${one.why}`));
    const list = element("ul", "");
    for (const line of [...one.proof, ...one.rows]) list.append(element("li", line));
    if (one.rows.length === 0) list.append(element("li", "No row differs from the configured table."));
    made.append(list);
    made.open = unfolded.has(one.version);
    made.addEventListener("toggle", () => unfolded[made.open ? "add" : "delete"](one.version));
    return made;
  }

  function day(ms) {
    return new Date(ms).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  }

  function table(id, heads, rows) {
    const numeric = heads.map((head) => head.startsWith("#"));
    const top = document.createElement("tr");
    heads.forEach((head, n) => top.append(element("th", head.replace("#", ""), numeric[n] ? "number" : "")));
    const body = rows.map((cells) => {
      const made = document.createElement("tr");
      cells.forEach((cell, n) => made.append(element("td", cell, numeric[n] ? "number" : tone(cell))));
      return made;
    });
    if (rows.length === 0) {
      const none = element("td", "Nothing yet.");
      none.colSpan = heads.length;
      const made = document.createElement("tr");
      made.append(none);
      body.push(made);
    }
    at(id).replaceChildren(top, ...body);
  }

  function tone(cell) {
    return { confidential: "bad", down: "bad", nobody: "bad", ready: "good" }[cell] || "";
  }

  function canvas(found, most, label, name) {
    const made = drawn("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": name });
    for (const part of [0, 0.5, 1]) {
      const y = height(part);
      made.append(drawn("line", { x1: LEFT, x2: WIDTH, y1: y, y2: y, class: "grid" }));
      made.append(drawn("text", { x: LEFT - 6, y: y + 4, "text-anchor": "end" }, label(most * part)));
    }
    const last = found.timeline.length - 1;
    for (const [n, anchor] of [[0, "start"], [Math.floor(last / 2), "middle"], [last, "end"]]) {
      made.append(drawn("text", { x: place(n, found), y: HEIGHT - 3, "text-anchor": anchor }, clock(found.timeline[n].at, found.hours)));
    }
    return made;
  }

  function place(n, found) {
    return LEFT + (WIDTH - LEFT) * n / Math.max(1, found.timeline.length - 1);
  }

  function height(part) {
    return 8 + (HEIGHT - BOTTOM - 8) * (1 - part);
  }

  function bars(found) {
    const most = Math.max(1, ...found.timeline.map((one) => one.local + one.cloud + one.failed));
    const made = canvas(found, most, (value) => short(Math.round(10 * value) / 10), "Requests over time, by where they were answered");
    const step = (WIDTH - LEFT) / found.timeline.length;
    found.timeline.forEach((one, n) => {
      let below = 0;
      for (const kind of ["local", "cloud", "failed"]) {
        const top = height((below + one[kind]) / most);
        const tall = height(below / most) - top;
        below += one[kind];
        if (tall > 0) made.append(drawn("rect", { x: LEFT + n * step + 1, y: top, width: Math.max(1, step - 2), height: tall, class: kind }));
      }
    });
    return made;
  }

  function lines(found) {
    let [spent, always] = [0, 0];
    const points = found.timeline.map((one) => [spent += one.cost, always += one.always_cloud]);
    const most = Math.max(10000, spent, always);
    const made = canvas(found, most, usd, "Money spent over time, beside what the cloud alone would have cost");
    for (const [which, kind] of [[1, "always"], [0, "spend"]]) {
      made.append(drawn("polyline", { class: kind, points: points.map((one, n) => `${place(n, found)},${height(one[which] / most)}`).join(" ") }));
    }
    return made;
  }

  at("enter").addEventListener("click", () => {
    sessionStorage.setItem(KEPT, at("key").value.trim());
    at("key").value = "";
    refresh();
  });
  at("key").addEventListener("keydown", (event) => { if (event.key === "Enter") at("enter").click(); });
  at("forget").addEventListener("click", () => { sessionStorage.removeItem(KEPT); letIn(); refresh(); });
  at("refresh").addEventListener("click", refresh);
  at("hours").addEventListener("change", refresh);
  at("by").addEventListener("change", successes);
  setInterval(() => { if (!document.hidden && at("door").hidden) refresh(); }, REFRESH_MS);
  refresh();
}

if (typeof document !== "undefined") start();
