
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const htmlElement = (tag, attributes = {}, text = "") => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  };
  const svgElement = (tag, attributes, text = "") => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.textContent = text;
    return element;
  };
  const announce = (text) => { byId("live").textContent = text; };  // to screen readers
  const short = (text, n) => (text.length <= n ? text : text.slice(0, n - 1).trimEnd() + "…");
  const px = (value) => String(Math.round(value * 10) / 10);

  // CSV ------------------------------------------------------------------------------------------------------------

  const quoted = (text) => (/[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  function copyBySelection(text) {
    const area = htmlElement("textarea", { class: "hidden" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }

  async function copy(text, button) {
    let done = true;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      done = copyBySelection(text);
    }
    const lines = text.trimEnd().split("\n").length - 1;
    const message = done ? `Copied ${lines} ${lines === 1 ? "row" : "rows"}` : "Not copied: the browser does not allow it";
    announce(message);
    button.textContent = message;
    setTimeout(() => { button.textContent = "Copy as CSV"; }, 2500);
  }

  function copyButton(text) {
    const button = htmlElement("button", { type: "button", class: "act" }, "Copy as CSV");
    button.addEventListener("click", () => copy(text(), button));
    return button;
  }

  const firstLine = (cell) => {
    const second = cell.querySelector("small")?.textContent ?? "";
    return second ? cell.textContent.slice(0, -second.length) : cell.textContent;
  };

  // The second lines of a column become a column of their own.
  function tableText(table) {
    const heads = [...table.tHead.rows[0].cells];
    const title = (head) => (head.querySelector("button") ?? head).textContent;
    const lines = [heads.flatMap((h) => (h.dataset.second ? [title(h), `${title(h)}: ${h.dataset.second}`] : [title(h)]))];
    for (const row of table.tBodies[0].rows) {
      if (row.hidden) continue;
      lines.push([...row.cells].flatMap((cell, i) => {
        const first = firstLine(cell);
        return heads[i].dataset.second ? [first, cell.querySelector("small")?.textContent ?? ""] : [first];
      }));
    }
    return lines.map((line) => line.map(quoted).join(",")).join("\n") + "\n";
  }

  // Tables ---------------------------------------------------------------------------------------------------------

  const sortValue = (cell, numeric) => {
    if (!numeric) return cell.textContent.toLowerCase();
    const value = parseFloat(cell.dataset.v ?? firstLine(cell));
    return Number.isNaN(value) ? null : value;
  };

  function sort(table, column, head) {
    const descending = head.getAttribute("aria-sort") === "ascending";
    const numeric = head.classList.contains("n");
    const rows = [...table.tBodies[0].rows].map((row, i) => [sortValue(row.cells[column], numeric), i, row]);
    rows.sort(([a, i], [b, j]) => {
      const emptyLast = (a === null || a === "") - (b === null || b === ""); // empty cells stay at the end
      if (emptyLast) return emptyLast;
      const order = a < b ? -1 : a > b ? 1 : 0;
      return (descending ? -order : order) || i - j;
    });
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", descending ? "descending" : "ascending");
    table.tBodies[0].append(...rows.map(([, , row]) => row));
  }

  function filter(table, input, choices, output) {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = [...table.tBodies[0].rows];
    for (const row of rows) {
      row.searchText ??= [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase();
      row.hidden = !words.every((word) => row.searchText.includes(word))
        || !choices.every(([select, column]) => select.value === "" || firstLine(row.cells[column]) === select.value);
    }
    output.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
  }

  function filters(table, controls) {
    const label = htmlElement("label", {}, "Filter: rows with all of these words");
    const input = htmlElement("input", { type: "search", id: `${table.id}-filter`, autocomplete: "off", spellcheck: "false" });
    const output = htmlElement("output", { for: input.id });
    const choices = [];
    const changed = () => filter(table, input, choices, output);
    input.addEventListener("input", changed);
    label.append(input);
    controls.append(label);
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (!("filter" in head.dataset)) return;
      const texts = new Set([...table.tBodies[0].rows].map((row) => firstLine(row.cells[column])));
      const wrap = htmlElement("label", {}, head.textContent);
      const select = htmlElement("select");
      select.append(new Option("all", ""));
      for (const text of [...texts].filter(Boolean).sort()) select.append(new Option(text, text));
      select.addEventListener("change", changed);
      wrap.append(select);
      controls.append(wrap);
      choices.push([select, column]);
    });
    controls.append(output);
    changed();
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const controls = htmlElement("div", { class: "controls" });
    if (table.classList.contains("filtered")) filters(table, controls);
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = htmlElement("button", { type: "button" }, head.textContent);
      button.addEventListener("click", () => sort(table, column, head));
      // Browsers do not print buttons in the repeated head of a table.
      head.replaceChildren(button, htmlElement("span", { class: "printed", "aria-hidden": "true" }, button.textContent));
    });
    controls.append(copyButton(() => tableText(table)));
    table.closest(".box").before(controls);
  }

  for (const pre of document.querySelectorAll("details.data > pre")) {
    pre.parentElement.before(copyButton(() => pre.textContent));
  }

  // Two columns ----------------------------------------------------------------------------------------------------

  const csv = (rows) => rows.map((row) => row.map((cell) => quoted(String(cell ?? ""))).join(",")).join("\n") + "\n";

  function replaceData(svg, text) {
    svg.closest("figure").querySelector("details.data > pre").textContent = text;
  }

  function menu(label, names, selected, changed) {
    const wrap = htmlElement("label", {}, label);
    const select = htmlElement("select");
    names.forEach((name, i) => select.append(new Option(name, i, i === selected, i === selected)));
    select.addEventListener("change", changed);
    wrap.append(select);
    return [wrap, select];
  }

  function scatter(x, y) {
    const svg = byId("c-scatter");
    const [x0, x1, y0, y1, low] = ["x0", "x1", "y0", "y1", "low"].map((name) => Number(svg.dataset[name]));
    const at = (value, start, end) => start + ((Math.min(Math.max(value, low), 1) - low) / (1 - low)) * (end - start);
    const [across, up] = [data.columns[x], data.columns[y]];
    const points = Object.keys(across.cells).filter((place) => place in up.cells).map((place) => {
      const [dataset, split] = data.places[place];
      const [a, aStd] = across.cells[place];
      const [b, bStd] = up.cells[place];
      const label = ["ucr2018", "uea2018"].includes(split) ? dataset : `${dataset} (${split})`;
      return { dataset, split, label, a, b, aStd, bStd };
    });
    const marks = svg.querySelector(".marks");
    marks.replaceChildren();
    for (const p of points) {
      const [cx, cy] = [at(p.a, x0, x1), at(p.b, y0, y1)];
      const group = svgElement("g", {});
      group.append(svgElement("title", {}, `${p.label}: ${p.a.toFixed(4)} and ${p.b.toFixed(4)}`));
      let d = "";
      if (p.aStd) d += `M${px(at(p.a - p.aStd, x0, x1))} ${px(cy)}H${px(at(p.a + p.aStd, x0, x1))}`;
      if (p.bStd) d += `M${px(cx)} ${px(at(p.b - p.bStd, y0, y1))}V${px(at(p.b + p.bStd, y0, y1))}`;
      if (d) group.append(svgElement("path", { class: "span", d }));
      group.append(svgElement("circle", { class: "s0 dot", cx: px(cx), cy: px(cy), r: 3 }));
      marks.append(group);
    }
    const heights = [];  // of the labels so far
    const farthest = points.filter((p) => p.a !== p.b).sort((p, q) => Math.abs(q.b - q.a) - Math.abs(p.b - p.a));
    for (const p of farthest.slice(0, 4)) {
      const [cx, cy] = [at(p.a, x0, x1), at(p.b, y0, y1)];
      if (heights.some((other) => Math.abs(other - cy) < 12)) continue;
      heights.push(cy);
      const end = cx > (x0 + x1) / 2;
      marks.append(svgElement("text", {
        class: "name small", x: px(end ? cx - 7 : cx + 7), y: px(cy + 4), "text-anchor": end ? "end" : "start",
      }, p.label));
    }
    const summary = data.summaries[`${x},${y}`] ?? `${up.name} on both axes.`;
    svg.querySelector(".x-name").textContent = `${short(across.name, 48)} →`;
    svg.querySelector(".y-name").textContent = `↑ ${short(up.name, 48)}`;
    byId("c-scatter-title").textContent = `${up.name} against ${across.name}`;
    byId("c-scatter-desc").textContent = summary;
    byId("scatter-summary").textContent = summary;
    replaceData(svg, csv([
      ["dataset", "split", "x", "y", "x_std", "y_std"],
      ...points.map((p) => [p.dataset, p.split, p.a, p.b, p.aStd, p.bStd]),
    ]));
  }

  const controls = byId("scatter-controls");
  if (controls) {
    const names = data.columns.map((column) => column.name);
    const redraw = () => { scatter(Number(xs.value), Number(ys.value)); announce(byId("scatter-summary").textContent); };
    const [yWrap, ys] = menu("Vertical axis", names, Number(controls.dataset.y), redraw);
    const [xWrap, xs] = menu("Horizontal axis", names, Number(controls.dataset.x), redraw);
    controls.append(yWrap, xWrap);
  }

  // Learning curves ------------------------------------------------------------------------------------------------

  const SHAPES = [
    "M-3 0a3 3 0 1 0 6 0a3 3 0 1 0-6 0z", "M-2.8-2.8h5.6v5.6h-5.6z", "M0-3.6L3.5 2.6h-7z", "M0-4L4 0L0 4L-4 0z",
    "M-1.2-3.8h2.4v2.6h2.6v2.4h-2.6v2.6h-2.4v-2.6h-2.6v-2.4h2.6z", "M0 3.6L3.5-2.6h-7z",
  ];

  function curves(dataset, name) {
    const svg = byId("c-curves");
    const [x0, x1, y0, y1, bottom, top, decades] = ["x0", "x1", "y0", "y1", "bottom", "top", "decades"]
      .map((key) => Number(svg.dataset[key]));
    const at = (epoch, loss) => {
      const share = (Math.log10(Math.max(loss, 1e-6)) - bottom) / (top - bottom);
      return [x0 + (Math.log10(Math.max(epoch, 1)) / decades) * (x1 - x0), y0 + Math.min(Math.max(share, 0), 1) * (y1 - y0)];
    };
    const shown = data.curves.filter(([d, n]) => d === dataset && n === name);
    const marks = svg.querySelector(".marks");
    marks.replaceChildren();
    const mark = (i, x, y, size, title) => {
      const path = svgElement("path", {
        class: `s${i % 6}`, transform: `translate(${px(x)} ${px(y)}) scale(${size})`,
        d: SHAPES[((i % 6) + Math.floor(i / 6)) % 6],
      });
      if (title) path.append(svgElement("title", {}, title));
      marks.append(path);
    };
    shown.forEach(([, , seed, grid, losses, best], i) => {
      const track = losses.map((loss, k) => at(data.epochs[grid][k], loss).map(px).join(" ")).join("L");
      const path = svgElement("path", { class: `curve t${i % 6}`, d: `M${track}` });
      path.append(svgElement("title", {}, `seed ${seed}`));
      marks.append(path);
      if (best) mark(i, ...at(...best), 1.5, `seed ${seed}: kept from epoch ${best[0]}`);
    });
    shown.slice(0, 10).forEach(([, , seed], i) => {
      mark(i, x0 + 5, y0 + 50 + 16 * i, 1.2);
      marks.append(svgElement("text", { x: px(x0 + 16), y: px(y0 + 54 + 16 * i) }, `seed ${seed}`));
    });
    const height = y0 + 50 + 16 * Math.min(shown.length, 10);
    svg.setAttribute("viewBox", `0 0 440 ${px(height)}`);
    const title = `Training loss of ${data.names[name]} on ${data.datasets[dataset]}`;
    const description = shown.map(([, , seed, grid, losses, best]) => {
      const last = data.epochs[grid].at(-1);
      return `Seed ${seed}: from ${losses[0]} to ${losses.at(-1)} in ${last} epoch${last === 1 ? "" : "s"}`
        + (best ? `, kept from epoch ${best[0]}.` : ".");
    }).join(" ");
    byId("c-curves-title").textContent = title;
    byId("c-curves-desc").textContent = description;
    byId("curves-title").textContent = `${title}.`;
    replaceData(svg, csv([
      ["seed", "epoch", "loss"],
      ...shown.flatMap(([, , seed, grid, losses]) => losses.map((loss, k) => [seed, data.epochs[grid][k], loss])),
    ]));
  }

  const curveControls = byId("curve-controls");
  if (curveControls) {
    const namesOf = new Map();  // models by dataset
    for (const [dataset, name] of data.curves) {
      if (!namesOf.has(dataset)) namesOf.set(dataset, new Set());
      namesOf.get(dataset).add(name);
    }
    const [start, startName] = data.curves[0];
    const fill = () => {
      const previous = names.value === "" ? startName : Number(names.value);
      const available = [...namesOf.get(Number(datasets.value))];
      names.replaceChildren(...available.map((i) => new Option(data.names[i], i, i === previous, i === previous)));
    };
    const redraw = () => { curves(Number(datasets.value), Number(names.value)); announce(byId("curves-title").textContent); };
    const [datasetWrap, datasets] = menu("Dataset", data.datasets, start, () => { fill(); redraw(); });
    const [nameWrap, names] = menu("Model", [], 0, redraw);
    fill();
    curveControls.append(datasetWrap, nameWrap);
  }

  // Open everything that is folded before printing.
  addEventListener("beforeprint", () => { for (const part of document.querySelectorAll("details.more")) part.open = true; });
})();
