// Sorts tables, searches and narrows down the long one, folds up the trials, and plays the film. The report is complete without it.
// The part of the address after "#" holds what is shown: #tab-trials?model=off&outcome=healed
const number = (text) => Number.parseFloat(text.replace("−", "-").replaceAll(",", ""));

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const FEW = 12; // rows that nobody has to search
const FIRST = 50; // rows that a long table shows before somebody asks for all

function sortable(figure) {
  const body = figure.querySelector("tbody");
  const heads = [...figure.querySelectorAll("th")];
  if (body.rows.length < 2) return;
  const key = (row, column) => row.cells[column].textContent.trim();
  const names = []; // a first cell that repeats the one above is left out: a row that moves takes its name with it
  for (const row of body.rows) names.push(key(row, 0) || names.at(-1) || "");
  const whole = () => names.splice(0).forEach((name, i) => {
    if (!key(body.rows[i], 0)) body.rows[i].cells[0].textContent = name;
  });
  heads.forEach((head, column) => {
    const sort = () => {
      whole();
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
      figure.dispatchEvent(new Event("sorted"));
    };
    const button = element("button", { type: "button", onclick: sort }, ...head.childNodes);
    head.append(button);
  });
}

function narrowable(figure) {
  const body = figure.querySelector("tbody");
  const rows = [...body.rows];
  const names = JSON.parse(figure.dataset.facets ?? "[]");
  if (!names.length && rows.length <= FEW) return undefined;
  const values = new Map(rows.map((row) => [row, JSON.parse(row.dataset.values ?? "[]")]));
  const told = element("p", { className: "told" });
  told.setAttribute("aria-live", "polite");
  const search = element("input", { type: "search" });
  const all = element("button", { type: "button", textContent: "Show all" });
  const choices = new Map();
  const more = element("button", { type: "button", className: "all" });
  let most = FIRST;
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
    for (const row of body.rows) {
      const has = values.get(row);
      const fits = tests.every(([i, some]) => has[i]?.some((value) => some.has(value)))
        && (text === "" || row.textContent.toLowerCase().includes(text));
      n += fits;
      row.hidden = !fits || n > most;
    }
    more.hidden = n <= most;
    more.textContent = `Show all ${n} rows`;
    for (const [name, select] of choices) {
      const value = (wanted.get(name) ?? [""]).join("|or|");
      if (![...select.options].some((option) => option.value === value)) {
        select.add(new Option(value.replaceAll("|or|", " or "), value));
      }
      select.value = value;
    }
    const why = [...wanted].map(([name, some]) => `${name.replaceAll("_", " ")}: ${some.join(" or ")}`).join("; ");
    const first = n > most ? `the first ${most} of ` : "";
    const whole = n < rows.length ? ` of ${rows.length}` : "";
    told.textContent = `${first}${n}${whole} rows${why ? ` · ${why}` : ""}`;
    all.hidden = n === rows.length;
  }

  all.addEventListener("click", () => {
    wanted.clear();
    search.value = "";
    show();
    history.replaceState(null, "", address());
  });
  search.addEventListener("input", show);
  more.addEventListener("click", () => {
    most = Infinity;
    show();
  });
  figure.addEventListener("sorted", show);
  const field = ([name, box]) => element("label", {}, `${name.replaceAll("_", " ")} `, box);
  const usual = ["chaos", "model", "outcome"];
  const [plain, rare] = [[], []];
  for (const one of choices) (usual.includes(one[0]) ? plain : rare).push(one);
  const others = rare.length ? [element("details", {}, element("summary", { textContent: "more" }), ...rare.map(field))] : [];
  figure.querySelector(".scroll").before(
    element("div", { className: "filters" }, field(["search", search]), ...plain.map(field), ...others, all, told),
  );
  figure.querySelector(".scroll").after(more);
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
    reveal() {
      most = Infinity;
      show();
    },
  };
}

// The page is painted first, then it comes to life.
requestAnimationFrame(() => setTimeout(() => {
  document.documentElement.dataset.painted = "yes";
  document.querySelectorAll("figure.table").forEach(sortable);
  const tables = [...document.querySelectorAll("figure.small")].map(narrowable).filter(Boolean);
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
    if (table && target.hidden) table.reveal();
    if (target?.matches("details")) target.open = true;
    if (target && (query || table || target.matches("details"))) target.scrollIntoView();
  }
  window.addEventListener("hashchange", follow);
  follow();

  // A mark in a drawing says which trial it is, and leads to it: by the mouse, or by the arrow keys and Enter.
  for (const figure of document.querySelectorAll("[data-points]")) {
    const all = [];
    for (const [group, rows] of JSON.parse(figure.dataset.points)) {
      const drawn = [group, group.replace(figure.id, `${figure.id}-narrow`)].map((id) => document.getElementById(id));
      const marks = drawn.find((one) => one?.getClientRects().length)?.querySelectorAll("use") ?? []; // the drawing that is shown
      rows.forEach((row, i) => {
        const line = document.getElementById(`trial-${row + 1}`);
        if (!line || !marks[i]) return;
        const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
        title.textContent = [...line.cells].slice(1, 4).map((cell) => cell.textContent.trim()).join(", ") + " s";
        const mark = marks[i];
        mark.append(title);
        mark.setAttribute("role", "link");
        mark.setAttribute("aria-label", title.textContent);
        mark.setAttribute("tabindex", all.length ? "-1" : "0"); // one stop for the Tab key in each figure
        mark.addEventListener("click", () => { location.hash = `#trial-${row + 1}`; });
        all.push(mark);
      });
    }
    figure.addEventListener("keydown", (event) => {
      const at = all.indexOf(event.target);
      if (at < 0) return;
      if (event.key === "Enter" || event.key === " ") event.target.dispatchEvent(new Event("click"));
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -all.length, End: all.length }[event.key];
      if (step) {
        const next = all[Math.min(Math.max(at + step, 0), all.length - 1)];
        event.target.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      }
      if (step || event.key === "Enter" || event.key === " ") event.preventDefault();
    });
  }

  // The contents say where the reader is; where there is no room beside the text they fold up.
  const contents = document.querySelector("nav details");
  const here = contents.querySelector("summary");
  const beside = matchMedia("(min-width: 78rem)");
  const fold = () => { contents.open = beside.matches; };
  beside.addEventListener("change", fold);
  fold();
  contents.addEventListener("click", (event) => { if (event.target.matches("a")) fold(); });
  const places = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) if (isIntersecting) {
      places.forEach((link) => link.removeAttribute("aria-current"));
      places.get(target.id)?.setAttribute("aria-current", "true");
      here.textContent = `Contents · ${places.get(target.id)?.textContent ?? ""}`;
    }
  }, { rootMargin: "-20% 0px -70% 0px" });
  document.querySelectorAll("main > section").forEach((section) => seen.observe(section));

  // The healing film: two trials on one time axis.
  for (const film of document.querySelectorAll("[data-film]")) {
    const { start, end, limit, sides, moments } = JSON.parse(film.dataset.film);
    const shown = [...film.querySelectorAll(".side")].map((side, i) => {
      const canvas = element("canvas", {});
      canvas.setAttribute("aria-hidden", "true");
      side.querySelector("p").after(canvas);
      return { canvas, lines: [...side.querySelectorAll("li")], requests: sides[i], at: moments[i] };
    });
    const slider = element("input", { type: "range", min: start, max: end, step: 0.05, value: end });
    slider.setAttribute("aria-label", "second of the trial");
    const last = Number(slider.value); // the step before the end
    const button = element("button", { type: "button", textContent: "Play" });
    const clock = element("output", {});
    film.querySelector(".sides").before(element("div", { className: "play" }, button, slider, clock));
    const [least, most] = [Math.min(limit, ...sides.flat().map(([, ms]) => (ms < 0 ? limit : ms))), Math.max(limit * 4, ...sides.flat().map(([, ms]) => ms))];
    const tens = [1, 10, 100, 1000, 10000].filter((ms) => ms >= least && ms < most);
    const every = [1, 2, 5, 10, 30, 60, 300].find((s) => (end - start) / s <= 10) ?? 600;

    function draw() {
      const now = Number(slider.value);
      const style = getComputedStyle(document.documentElement);
      const [ink, quiet, good, bad] = ["--ink", "--quiet", "--link", "--bad"].map((name) => style.getPropertyValue(name));
      clock.textContent = `${now.toFixed(1)} s`;
      for (const { canvas, lines, requests, at } of shown) {
        const ratio = window.devicePixelRatio || 1;
        const [width, height] = [canvas.clientWidth, canvas.clientHeight];
        canvas.width = width * ratio;
        canvas.height = height * ratio;
        const pen = canvas.getContext("2d");
        pen.scale(ratio, ratio);
        const [left, foot, head] = [76, 30, 26]; // room for the axes' words
        const x = (second) => left + ((second - start) / (end - start)) * (width - left - 4);
        const y = (ms) => height - foot - (Math.log(ms / least) / Math.log(most / least)) * (height - foot - head);
        const none = head - 12; // requests without a good answer have no latency: a line of their own
        pen.font = "12px system-ui, sans-serif";
        pen.fillStyle = quiet;
        pen.textAlign = "right";
        pen.textBaseline = "middle";
        for (const ms of tens) pen.fillText(`${ms} ms`, left - 6, y(ms));
        pen.fillText("no answer", left - 6, none);
        pen.textAlign = "center";
        for (let s = Math.ceil(start / every) * every; s <= end; s += every) pen.fillText(s === 0 ? "injection" : `${s} s`, x(s), height - foot / 2);
        pen.fillRect(left, height - foot, width - left, 1);
        pen.fillRect(left, y(limit), width - left, 0.8);
        pen.textAlign = "right";
        pen.fillText(`limit ${limit} ms`, width - 6, y(limit) - 8);
        for (const [second, ms, fine] of requests) {
          if (second > now) break;
          pen.fillStyle = fine ? good : bad;
          pen.fillRect(x(second) - 1, (ms < 0 ? none : y(ms)) - 1, 2.4, 2.4);
        }
        pen.fillStyle = ink;
        pen.textAlign = "left";
        at.forEach((second, i) => {
          const past = second <= now + 1e-6;
          lines[i].className = past ? (now - second < 0.6 && now < last ? "lit" : "") : "dim";
          if (!past) return;
          pen.fillRect(x(second), head - 18, 1, height - foot - head + 18);
          if (i + 1 === at.length || x(at[i + 1]) - x(second) > 70) pen.fillText(lines[i].querySelector("b").textContent, x(second) + 4, head + 8); // where there is room
        });
        pen.fillRect(x(now), 0, 2, height - foot);
      }
    }

    let frame = 0;
    function stop() {
      cancelAnimationFrame(frame);
      frame = 0;
      button.textContent = "Play again";
    }
    button.addEventListener("click", () => {
      if (frame) return stop();
      if (Number(slider.value) >= last) slider.value = start;
      button.textContent = "Stop";
      const [from, begun] = [Number(slider.value), performance.now()];
      const step = (time) => { // at the true speed
        slider.value = from + Math.max(0, time - begun) / 1000;
        draw();
        if (Number(slider.value) >= last) return stop();
        frame = requestAnimationFrame(step);
      };
      frame = requestAnimationFrame(step);
    });
    slider.addEventListener("input", () => (stop(), draw()));
    window.addEventListener("resize", draw);
    draw();
  }

  // What is wider than its place says so.
  for (const wide of document.querySelectorAll(".scroll")) {
    if (wide.scrollWidth > wide.clientWidth + 8) wide.classList.add("wide");
  }
  document.documentElement.dataset.live = "yes";
}));
