// Sorts, searches and narrows down the long table, and folds up the trials. The report is complete without it.
// The part of the address after "#" holds what is shown: #tab-trials?model=off&outcome=healed
const number = (text) => Number.parseFloat(text.replace("−", "-").replaceAll(",", ""));

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function sortable(figure) {
  const body = figure.querySelector("tbody");
  const heads = [...figure.querySelectorAll("th")];
  const key = (row, column) => row.cells[column].textContent.trim();
  heads.forEach((head, column) => {
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const keyed = [...body.rows].map((row) => [key(row, column), row]);
      keyed.sort(([x], [y]) => {
        const [m, n] = [number(x), number(y)];
        if (Number.isNaN(m) !== Number.isNaN(n)) return Number.isNaN(m) ? 1 : -1;
        return Number.isNaN(m) ? x.localeCompare(y) : m - n;
      });
      body.append(...(down ? keyed.reverse() : keyed).map(([, row]) => row));
    };
    const button = element("button", { type: "button", onclick: sort }, ...head.childNodes);
    head.append(button);
  });
}

function narrowable(figure) {
  const rows = [...figure.querySelector("tbody").rows];
  const names = JSON.parse(figure.dataset.facets ?? "[]");
  const values = new Map(rows.map((row) => [row, JSON.parse(row.dataset.values ?? "[]")]));
  const told = element("p", { className: "told" });
  told.setAttribute("aria-live", "polite");
  const search = element("input", { type: "search" });
  const all = element("button", { type: "button", textContent: "Show all" });
  const choices = new Map();
  let wanted = new Map(); // facet -> values of which a row needs one

  names.forEach((name, i) => {
    const counts = new Map();
    for (const row of rows) for (const value of values.get(row)[i]) counts.set(value, (counts.get(value) ?? 0) + 1);
    if (counts.size < 2 && ![...counts.values()].some((n) => n < rows.length)) return;
    const select = element("select", {}, new Option("all", ""));
    for (const value of [...counts.keys()].sort()) select.add(new Option(`${value} (${counts.get(value)})`, value));
    select.addEventListener("change", () => {
      wanted.delete(name);
      if (select.value) wanted.set(name, select.value.split("|or|"));
      show();
      history.replaceState(null, "", address());
    });
    choices.set(name, select);
  });

  function address() {
    const query = new URLSearchParams([...wanted].flatMap(([name, some]) => some.map((value) => [name, value])));
    return `#${figure.id}${wanted.size ? `?${query}` : ""}`;
  }

  function show() {
    const text = search.value.toLowerCase();
    const tests = [...wanted].map(([name, some]) => [names.indexOf(name), new Set(some)]);
    let n = 0;
    for (const row of rows) {
      const has = values.get(row);
      row.hidden = !tests.every(([i, some]) => has[i]?.some((value) => some.has(value)))
        || (text !== "" && !row.textContent.toLowerCase().includes(text));
      n += !row.hidden;
    }
    for (const [name, select] of choices) {
      const value = (wanted.get(name) ?? [""]).join("|or|");
      if (![...select.options].some((option) => option.value === value)) {
        select.add(new Option(value.replaceAll("|or|", " or "), value));
      }
      select.value = value;
    }
    const why = [...wanted].map(([name, some]) => `${name.replaceAll("_", " ")}: ${some.join(" or ")}`).join("; ");
    told.textContent = `${n} of ${rows.length} rows${why ? ` · ${why}` : ""}`;
    all.hidden = n === rows.length;
  }

  all.addEventListener("click", () => {
    wanted.clear();
    search.value = "";
    show();
    history.replaceState(null, "", address());
  });
  search.addEventListener("input", show);
  const fields = [["search", search], ...choices].map(([name, field]) => element("label", {}, `${name.replaceAll("_", " ")} `, field));
  figure.querySelector(".scroll").before(element("div", { className: "filters" }, ...fields, all, told));
  show();
  return {
    figure,
    rows,
    narrow(query) {
      wanted = new Map();
      for (const [name, value] of new URLSearchParams(query)) {
        if (names.includes(name)) wanted.set(name, [...(wanted.get(name) ?? []), value]);
      }
      search.value = "";
      show();
    },
  };
}

const tables = [...document.querySelectorAll("figure.small")].map((figure) => (sortable(figure), narrowable(figure)));
for (const link of document.querySelectorAll("a[data-show]")) {
  const pairs = Object.entries(JSON.parse(link.dataset.show)).flatMap(([name, some]) => some.map((v) => [name, v]));
  link.hash += `?${new URLSearchParams(pairs)}`;
}
for (const card of document.querySelectorAll("details.trial")) card.open = false;

function follow() {
  const [id, query = ""] = decodeURIComponent(location.hash.slice(1)).split(/\?(.*)/s);
  const target = document.getElementById(id);
  const table = tables.find(({ figure, rows }) => figure === target || rows.includes(target));
  if (table && (query || table.figure === target || target.hidden)) table.narrow(location.hash.split(/\?(.*)/s)[1] ?? "");
  if (target?.matches("details")) target.open = true;
  if (target && (query || table || target.matches("details"))) target.scrollIntoView();
}
window.addEventListener("hashchange", follow);
follow();
