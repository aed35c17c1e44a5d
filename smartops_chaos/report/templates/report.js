// Sorts and searches the long tables. The report is complete without it.
for (const figure of document.querySelectorAll("figure.small")) {
  const body = figure.querySelector("tbody");
  const heads = [...figure.querySelectorAll("th")];
  const number = (text) => Number.parseFloat(text.replace("−", "-").replaceAll(",", ""));
  const key = (row, column) => row.cells[column].textContent.trim();

  heads.forEach((head, column) => {
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const compare = (a, b) => {
        const [x, y] = [key(a, column), key(b, column)];
        const [m, n] = [number(x), number(y)];
        return Number.isNaN(m) || Number.isNaN(n) ? x.localeCompare(y) : m - n;
      };
      const rows = [...body.rows].sort(compare);
      body.append(...(down ? rows.reverse() : rows));
    };
    head.tabIndex = 0;
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => event.key === "Enter" && sort());
  });

  const search = document.createElement("input");
  search.type = "search";
  search.className = "search";
  search.placeholder = "Search this table";
  search.setAttribute("aria-label", search.placeholder);
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
  figure.querySelector(".scroll").before(search);
}
