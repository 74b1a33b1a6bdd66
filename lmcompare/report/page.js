// Choosing an arm in a legend makes the others step back, in all charts; choosing it again undoes it.
(() => {
  const keys = [...document.querySelectorAll("button.key")];
  const marks = [...document.querySelectorAll("[data-arm]:not(button)")];
  let chosen = null;
  const show = (arm) => {
    for (const mark of marks) mark.classList.toggle("faded", arm !== null && mark.dataset.arm !== arm);
    for (const key of keys) key.classList.toggle("faded", arm !== null && key.dataset.arm !== arm);
  };
  for (const key of keys) {
    key.addEventListener("click", () => {
      chosen = chosen === key.dataset.arm ? null : key.dataset.arm;
      for (const other of keys) other.setAttribute("aria-pressed", String(other.dataset.arm === chosen));
      show(chosen);
    });
    key.addEventListener("pointerenter", () => show(key.dataset.arm));
    key.addEventListener("pointerleave", () => show(chosen));
  }
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    chosen = null;
    for (const key of keys) key.setAttribute("aria-pressed", "false");
    show(null);
  });
  // Printed pages show what is folded on the screen.
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("details")) fold.open = true;
  });
})();
// The columns of the results can be sorted: by a button in each heading, on narrow screens from a list.
(() => {
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const given = [...body.rows];
    const heads = [...table.tHead.rows[0].cells];
    const key = (row, column) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const order = (column, down) => (a, b) => {
      const [x, y] = [key(a, column), key(b, column)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const apart = column === 0 ? x.localeCompare(y, "en", { numeric: true }) : Number(x) - Number(y);
      return down ? -apart : apart;
    };
    const list = document.createElement("select");
    const sort = (column, way) => {
      heads.forEach((head, i) => {
        if (i === column && way !== "none") head.setAttribute("aria-sort", way);
        else head.removeAttribute("aria-sort");
      });
      list.value = way === "none" ? "" : `${column} ${way}`;
      body.append(...(way === "none" ? given : [...given].sort(order(column, way === "descending"))));
    };
    list.add(new Option("as given", ""));
    heads.forEach((head, column) => {
      const name = head.textContent.trim();
      const ways = column === 0 ? ["ascending", "descending"] : ["descending", "ascending"];
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const next = { none: ways[0], [ways[0]]: ways[1], [ways[1]]: "none" };
        sort(column, next[head.getAttribute("aria-sort") ?? "none"]);
      });
      list.add(new Option(`${name}, ${column === 0 ? "by name" : "highest first"}`, `${column} ${ways[0]}`));
      list.add(new Option(`${name}, ${column === 0 ? "backwards" : "lowest first"}`, `${column} ${ways[1]}`));
    });
    list.addEventListener("change", () => {
      const [column, way] = list.value.split(" ");
      sort(Number(column), way ?? "none");
    });
    const label = document.createElement("label");
    label.className = "sorting";
    label.append("Sort by ", list);
    table.closest(".scroll").before(label);
  }
})();
// Examples on which two arms disagree, chosen by pair, task and direction. Every text is set as text.
(() => {
  const source = document.getElementById("torn-data");
  if (!source) return;
  const { pairs, colors, tasks, groups, texts } = JSON.parse(source.textContent);
  const [pair, task, direction] = ["pair", "task", "direction"].map((what) => document.getElementById(`torn-${what}`));
  const [tools, told, list, more] = ["tools", "told", "list", "more"].map((what) => document.getElementById(`torn-${what}`));
  const [FIRST, STEP] = [8, 24];
  let room = FIRST;
  const node = (tag, kind, ...inside) => {
    const made = document.createElement(tag);
    if (kind) made.className = kind;
    made.append(...inside);
    return made;
  };
  const counted = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;
  const answers = (arm, color, given, right, seeds) => {
    const said = given.map(([text, count]) => (count > 1 ? `${text} ×${count}` : text)).join(", ");
    const facts = right === null ? [] : [" ", node("small", "", `right in ${right} of ${counted(seeds, "seed")}`)];
    return node("div", color, node("dt", "", node("span", "bullet"), arm), node("dd", "", said, ...facts));
  };
  const card = ({ group, row: [, id, gold, a, b, aRight, bRight] }) => {
    const name = tasks[group.task];
    const cut = name.lastIndexOf(".") + 1;
    const title = node("span", "name", node("span", "prefix", name.slice(0, cut)), name.slice(cut));
    const shown = (texts[name]?.[id] ?? []).map((text) => node("p", "text", text));
    const [[one, other], [first, second]] = [pairs[group.pair], colors[group.pair]];
    const rows = [
      node("div", "", node("dt", "", "gold"), node("dd", "", gold)),
      answers(one, first, a, aRight, group.seeds),
      answers(other, second, b, bRight, group.seeds),
    ];
    return node("li", "card torn", node("p", "where", title, " ", node("code", "", id)), ...shown, node("dl", "", ...rows));
  };
  const chosen = () => groups.filter((g) => g.pair === Number(pair.value) && (task.value === "" || g.task === Number(task.value)));
  // In turns, so that every task and direction shows its strongest first.
  const rowsOf = (found, ways) => {
    const piles = found.flatMap((group) => ways.map((way) => group.rows.filter((row) => row[0] === way).map((row) => ({ group, row }))));
    const most = Math.max(0, ...piles.map((pile) => pile.length));
    return Array.from({ length: most }, (_, i) => piles.flatMap((pile) => pile.slice(i, i + 1))).flat();
  };
  const show = () => {
    const found = chosen();
    const ways = direction.value === "" ? ["a", "b", "both"] : [direction.value];
    const rows = rowsOf(found, ways);
    const all = found.reduce((sum, group) => sum + ways.reduce((part, way) => part + group.counts[way], 0), 0);
    const kept = rows.length < all ? `${rows.length.toLocaleString("en")} of the ` : "";
    told.textContent = `${kept}${counted(all, "example")} on which they are not equally right${kept ? " are kept here" : ""}.`;
    list.replaceChildren(...rows.slice(0, room).map(card));
    more.hidden = rows.length <= room;
  };
  const offer = () => {
    const [one, other] = pairs[Number(pair.value)];
    const before = direction.value;
    direction.replaceChildren(
      new Option("anyone", ""),
      new Option(`${one}, not ${other}`, "a"),
      new Option(`${other}, not ${one}`, "b"),
      new Option("neither, and they differ", "both"),
    );
    direction.value = before;
  };
  for (const choice of [pair, task, direction]) {
    choice.addEventListener("change", () => {
      room = FIRST;
      if (choice === pair) offer();
      show();
    });
  }
  more.addEventListener("click", () => {
    const first = room;
    room += STEP;
    show();
    list.children[first]?.setAttribute("tabindex", "-1");
    list.children[first]?.focus();
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
  tools.hidden = false;
  offer();
  show();
})();
