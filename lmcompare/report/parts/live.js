// Every two seconds what has changed is asked for; a row that stays the same is not touched, so nothing flickers.
(() => {
  const EVERY = 2000;
  const at = (id) => document.getElementById(id);
  const rows = new Map(); // name → the row's elements and the newest facts
  let began = "", version = 0;

  const make = (tag, parent, name) => {
    const element = document.createElement(tag);
    if (name) element.className = name;
    return parent.appendChild(element);
  };
  const put = (element, text) => { if (element.textContent !== text) element.textContent = text; };
  const figure = (value) => value === null || value === undefined ? "–" : String(Number(Number(value).toPrecision(4)));
  const ago = (seconds) => {
    if (seconds < 60) return "now";
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
    return new Date(Date.now() - 1000 * seconds).toISOString().slice(0, 10);
  };

  const row = () => {
    const tr = document.createElement("tr");
    const head = make("th", tr);
    head.scope = "row";
    const found = { tr, name: make("span", head), what: make("small", head) };
    const state = make("td", tr);
    found.state = make("span", state, "state");
    found.why = make("small", state, "why");
    const far = make("td", tr, "number");
    found.far = make("span", far);
    found.bar = make("progress", far);
    const loss = make("td", tr, "number");
    found.loss = make("span", loss);
    const svg = loss.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "svg"));
    svg.setAttribute("class", "curve");
    svg.setAttribute("viewBox", "0 0 100 100");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    found.line = svg.appendChild(document.createElementNS("http://www.w3.org/2000/svg", "polyline"));
    found.figures = make("td", tr, "number");
    found.when = make("td", tr, "number");
    return found;
  };

  const line = (points) => {
    if (!points || points.length < 2) return "";
    const ys = points.map((p) => p[1]), low = Math.min(...ys), high = Math.max(...ys);
    const first = points[0][0], last = points[points.length - 1][0];
    const x = (step) => 100 * (step - first) / (last - first || 1);
    const y = (loss) => 100 - 100 * (loss - low) / (high - low || 1);
    return points.map((p) => `${x(p[0]).toFixed(1)},${y(p[1]).toFixed(1)}`).join(" ");
  };

  const show = (found, run) => {
    if (found.tr.className !== run.status) found.tr.className = run.status;
    put(found.name, run.name);
    put(found.what, run.what);
    put(found.state, run.status);
    put(found.why, run.reason || "");
    const step = run.step === null || run.step === undefined ? "" : run.step.toLocaleString("en");
    put(found.far, run.total ? `${step || 0} of ${run.total.toLocaleString("en")}` : step && `step ${step}`);
    found.bar.hidden = !(run.total && run.status === "running");
    found.bar.max = run.total || 1;
    found.bar.value = run.step || 0;
    put(found.loss, run.loss === null || run.loss === undefined ? "" : figure(run.loss));
    found.line.setAttribute("points", line(run.curve));
    const names = Object.entries(run.figures || {}).map(([name, value]) => `${name} ${figure(value)}`);
    put(found.figures, names.length ? `${names.join(", ")} (${run.split})` : "");
    found.facts = run;
  };

  const ORDER = { running: 0, failed: 1, unreadable: 1, unfinished: 2, finished: 3 };
  const arrange = () => {
    const word = at("find").value.toLowerCase(), only = at("only").value;
    const all = [...rows.values()].sort((a, b) =>
      ORDER[a.facts.status] - ORDER[b.facts.status] || b.facts.updated - a.facts.updated ||
      a.facts.name.localeCompare(b.facts.name));
    let shown = 0, place = at("runs").firstChild;
    for (const found of all) {
      const { name, what, status } = found.facts;
      const fits = (!only || status === only) && `${name} ${what}`.toLowerCase().includes(word);
      found.tr.hidden = !fits;
      shown += fits ? 1 : 0;
      if (found.tr === place) place = place.nextSibling;
      else at("runs").insertBefore(found.tr, place);
    }
    put(at("shown"), shown === all.length ? "" : `${shown} of ${all.length}`);
    at("none").hidden = all.length > 0;
  };

  const studies = (list) => {
    const place = at("studies").querySelector("ul");
    at("studies").hidden = list.length === 0;
    while (place.children.length > list.length) place.lastChild.remove();
    list.forEach((study, number) => {
      let item = place.children[number];
      if (!item) {
        item = make("li", place);
        make("a", item);
        make("p", item);
      }
      const [link, told] = item.children;
      put(link, study.title);
      link.href = `/study/${encodeURIComponent(study.name)}`;
      const counts = ["finished", "failed", "running"].filter((key) => study[key]).map((key) => `${study[key]} ${key}`);
      put(told, study.reason || counts.join(", ") || "nothing finished yet");
    });
  };

  const ask = async () => {
    try {
      const answer = await fetch(`/runs.json?since=${version}`, { cache: "no-store" });
      if (!answer.ok) throw new Error(answer.statusText);
      const state = await answer.json();
      if (began && state.began !== began) {
        for (const found of rows.values()) found.tr.remove();
        rows.clear();
        began = state.began;
        version = 0;
        return ask();
      }
      ({ began, version } = state);
      for (const name of state.gone) {
        rows.get(name)?.tr.remove();
        rows.delete(name);
      }
      for (const run of state.runs) {
        if (!rows.has(run.name)) rows.set(run.name, row());
        show(rows.get(run.name), run);
      }
      if (state.runs.length || state.gone.length || !rows.size) arrange();
      studies(state.studies);
      put(at("told"), Object.entries(state.counts).map(([status, count]) => `${count} ${status}`).join(", ") || "no runs yet");
      at("lost").hidden = true;
    } catch {
      at("lost").hidden = false;
    }
    const now = Date.now() / 1000;
    for (const found of rows.values()) put(found.when, ago(now - found.facts.updated));
  };

  at("find").addEventListener("input", arrange);
  at("only").addEventListener("change", arrange);
  const beat = async () => {
    if (!document.hidden) await ask();
    setTimeout(beat, EVERY);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });
  beat();
})();
