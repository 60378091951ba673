"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byNumber = new Map(data.trials.map((trial) => [trial.number, trial]));
  const config = { displayModeBar: false, responsive: true };
  const INK = "#1d2733", GRID = "#e6eaee";
  const FONT = { family: "system-ui, -apple-system, 'Segoe UI', sans-serif", size: 12, color: INK };
  const LINES = [
    { key: "recall", name: "recall at 0.5", color: "#0072b2", width: 2.5 },
    { key: "precision", name: "precision at 0.5", color: "#d55e00", width: 2.5 },
    { key: "f1", name: "F1 at 0.5", color: INK, width: 2.5 },
    { key: "ap", name: "AP", color: "#009e73", width: 2, dash: "dash" },
    { key: "tuned_f1", name: "F1 tuned", color: "#882255", width: 2, dash: "dot" },
  ];

  const place = (id) => document.getElementById("plot-" + id);

  function say(where, words) {
    const line = document.createElement("p");
    line.className = "empty";
    line.textContent = words;
    where.replaceChildren(line);
  }

  function draw(id, traces, layout) {
    const where = place(id);
    if (where.querySelector(":scope > .empty")) where.replaceChildren();
    return Plotly.react(where, traces, layout, config);
  }

  function axis(title, more) {
    return Object.assign({ title: { text: title }, gridcolor: GRID, zeroline: false, linecolor: "#c5ccd3", ticks: "outside", tickcolor: "#c5ccd3", automargin: true }, more);
  }

  function base(x, y, more) {
    return Object.assign({
      font: FONT, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "#fff", height: 400,
      margin: { l: 52, r: 14, t: 28, b: 46 }, xaxis: x, yaxis: y, hovermode: "closest",
      hoverlabel: { align: "left", bgcolor: "#fff", font: { size: 12, color: INK } },
      legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0, font: { size: 11 } },
    }, more);
  }

  function timeline(trial) {
    if (!trial.steps.length) return say(place("timeline"), "This trial has not been evaluated yet.");
    const traces = LINES.filter((line) => trial.series[line.key]).map((line) => ({
      type: "scatter", mode: trial.steps.length < 40 ? "lines+markers" : "lines", name: line.name,
      x: trial.steps, y: trial.series[line.key],
      customdata: trial.epochs, hovertemplate: line.name + " %{y:.3f}<br>step %{x}, epoch %{customdata}<extra></extra>",
      line: { color: line.color, width: line.width, dash: line.dash || "solid" }, marker: { size: 4 },
    }));
    const last = trial.steps[trial.steps.length - 1];
    const shapes = trial.phases.map((phase) => ({
      type: "rect", xref: "x", yref: "paper", x0: phase.from, x1: phase.to, y0: 0, y1: 1,
      fillcolor: phase.color, opacity: 0.16, line: { width: 0 }, layer: "below",
    }));
    const labels = trial.phases.filter((phase) => (phase.to - phase.from) / last > 0.045).map((phase) => ({
      xref: "x", yref: "paper", x: (phase.from + phase.to) / 2, y: 1, yanchor: "bottom", showarrow: false,
      text: phase.kind, font: { size: 11, color: INK }, hovertext: phase.loss + " at " + phase.rate,
    }));
    return draw("timeline", traces, base(
      axis("optimizer step", { range: [0, last * 1.01] }), axis("", { range: [-0.02, 1.02], dtick: 0.2 }),
      { shapes: shapes, annotations: labels }));
  }

  function isoF1() {
    return [0.2, 0.4, 0.6, 0.8].map((level) => {
      const xs = [], ys = [], least = level / (2 - level);
      for (let i = 0; i <= 40; i++) {
        const r = least + (1 - least) * (i / 40) ** 2;
        xs.push(r); ys.push(Math.min(1, level * r / (2 * r - level)));
      }
      return { type: "scatter", mode: "lines", x: xs, y: ys, hoverinfo: "skip", showlegend: false, line: { color: "#c5ccd3", width: 1, dash: "dot" } };
    });
  }

  function path(trial) {
    const recall = trial.series.recall, precision = trial.series.precision;
    if (!recall || !precision) return say(place("path"), "This trial has no precision and recall yet.");
    const colors = [], words = [];
    trial.phases.forEach((phase) => { while (colors.length <= phase.last) { colors.push(phase.color); words.push(phase.kind); } });
    const traces = isoF1();
    traces.push({
      type: "scatter", mode: "lines+markers", name: "at 0.5", x: recall, y: precision,
      line: { color: "#9aa5b1", width: 1.2 }, marker: { size: 8, color: colors, line: { width: 0.5, color: "#fff" } },
      text: words, customdata: trial.epochs, showlegend: false,
      hovertemplate: "%{text}, epoch %{customdata}<br>recall %{x:.3f}, precision %{y:.3f}<extra></extra>",
    });
    const end = recall.length - 1;
    traces.push({ type: "scatter", mode: "markers", name: "last, at 0.5", x: [recall[end]], y: [precision[end]], marker: { size: 15, symbol: "circle-open", color: INK, line: { width: 2 } }, hoverinfo: "skip" });
    if (trial.series.tuned_recall && trial.series.tuned_precision) {
      traces.push({
        type: "scatter", mode: "lines+markers", name: "tuned", x: trial.series.tuned_recall, y: trial.series.tuned_precision,
        line: { color: "#882255", width: 1, dash: "dot" }, marker: { size: 4, color: "#882255" }, customdata: trial.epochs,
        hovertemplate: "tuned, epoch %{customdata}<br>recall %{x:.3f}, precision %{y:.3f}<extra></extra>",
      });
    }
    const square = { range: [-0.02, 1.02], dtick: 0.2 };
    return draw("path", traces, base(axis("recall", square), axis("precision", square), {}));
  }

  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  const figure = (value) => value === null || Number.isNaN(value) ? "–" : value.toFixed(3);

  function phaseEnds(trial) {
    const where = document.getElementById("phase-ends");
    const groups = new Map();
    trial.phases.forEach((phase) => {
      if (!groups.has(phase.kind)) groups.set(phase.kind, { color: phase.color, at: [] });
      groups.get(phase.kind).at.push(phase.last);
    });
    const table = document.createElement("table");
    table.className = "ranked";
    table.id = "phase-table";
    const columns = LINES.filter((line) => trial.series[line.key]);
    const head = table.createTHead().insertRow();
    ["after phases of", "phases", ...columns.map((line) => line.name)].forEach((words, i) => {
      const cell = document.createElement("th");
      cell.textContent = words;
      if (i) cell.className = "number";
      head.append(cell);
    });
    const body = table.createTBody();
    groups.forEach((group, kind) => {
      const row = body.insertRow(), first = row.insertCell();
      const swatch = document.createElement("i");
      swatch.className = "swatch";
      swatch.style.background = group.color;
      const name = document.createElement("span");
      name.innerHTML = kind; // escaped by the report's builder
      first.append(swatch, name);
      [String(group.at.length), ...columns.map((line) => {
        const values = group.at.map((i) => trial.series[line.key][i]).filter((v) => v !== null);
        return figure(values.length ? mean(values) : null);
      })].forEach((words) => { const cell = row.insertCell(); cell.className = "number"; cell.textContent = words; });
    });
    const title = document.createElement("h3");
    title.textContent = "Where each loss leaves the model (mean over the ends of its phases)";
    const scroll = document.createElement("div");
    scroll.className = "scroll";
    scroll.append(table);
    where.replaceChildren(...(trial.phases.length ? [title, scroll] : []));
  }

  const chooser = document.getElementById("trial");

  function choose(number, jump) {
    const trial = byNumber.get(number);
    if (!trial) return;
    chooser.value = String(number);
    const score = trial.score === null ? "no score" : figure(trial.score);
    document.getElementById("trial-facts").textContent =
      "#" + number + (trial.control ? ", control " + trial.control : "") + (trial.confirms === null ? "" : ", confirmation with seed " + (trial.confirms + 1)) + ", " + trial.outcome + ", " + score +
      (trial.reason ? ": " + trial.reason : "") + ". " + trial.schedule;
    timeline(trial);
    path(trial);
    phaseEnds(trial);
    document.querySelectorAll("tr.pick").forEach((row) => row.classList.toggle("shown", row.dataset.trial === String(number)));
    if (jump) document.getElementById("schedule").scrollIntoView({ block: "start" });
  }

  function parameter(name) {
    const found = data.parameters[name];
    if (!found) return say(place("parameter"), "No parameter has varied yet.");
    const trials = found.trials.map((number) => byNumber.get(number));
    const families = new Map();
    trials.forEach((trial, i) => {
      if (!families.has(trial.color)) families.set(trial.color, []);
      families.get(trial.color).push(i);
    });
    const names = new Map(trials.map((trial) => [trial.color, trial.family.split(" → ")[0]]));
    const traces = [...families].map(([color, at]) => ({
      type: "scatter", mode: "markers", name: "starts with " + names.get(color),
      x: at.map((i) => found.values[i]), y: at.map((i) => trials[i].score), customdata: at.map((i) => trials[i].number),
      text: at.map((i) => "<b>#" + trials[i].number + "</b> " + trials[i].outcome + "<br>" + trials[i].label),
      hovertemplate: "%{text}<br>%{x}: %{y:.3f}<extra></extra>",
      marker: { color: color, size: 7, opacity: at.map((i) => trials[i].outcome === "completed" ? 0.85 : 0.35) },
    }));
    const shapes = data.control === null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: data.control, y1: data.control, line: { color: "#b3261e", width: 1.5, dash: "dash" } }];
    const title = document.getElementById("parameter").selectedOptions[0].textContent;
    return draw("parameter", traces, base(
      axis(title.replace(/&/g, "&amp;").replace(/</g, "&lt;"), found.log ? { type: "log" } : {}),
      axis(data.metric), { shapes: shapes, showlegend: true, height: 360 }));
  }

  function pickOnClick(where) {
    if (where.on) where.on("plotly_click", (event) => {
      const number = event.points[0].customdata;
      if (typeof number === "number" && byNumber.has(number)) choose(number, true);
    });
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.target);
    const range = document.createRange();
    range.selectNodeContents(source);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
    let done = false;
    try { await navigator.clipboard.writeText(source.textContent); done = true; }
    catch { try { done = document.execCommand("copy"); } catch { done = false; } }
    button.textContent = done ? "Copied" : "Selected: press Ctrl+C";
    setTimeout(() => { button.textContent = "Copy"; }, 2500);
  }

  Object.entries(data.plots).forEach(([id, drawn]) => {
    if (!drawn) return say(place(id), id === "importance" ? "Too few trials to say." : "Nothing to show yet.");
    Plotly.newPlot(place(id), drawn.data, drawn.layout, config).then(() => {
      if (id !== "epoch_seconds" && id !== "importance") pickOnClick(place(id));
    });
  });

  chooser.addEventListener("change", () => choose(Number(chooser.value), false));
  if (data.shown === null) {
    say(place("timeline"), "No trial yet.");
    say(place("path"), "No trial yet.");
  } else {
    choose(data.shown, false);
  }

  const parameters = document.getElementById("parameter");
  Object.keys(data.parameters).forEach((name) => {
    const option = document.createElement("option");
    option.value = option.textContent = name;
    parameters.append(option);
  });
  parameters.addEventListener("change", () => parameter(parameters.value));
  const drawnParameter = parameter(parameters.value);
  if (drawnParameter) drawnParameter.then(() => pickOnClick(place("parameter")));

  document.addEventListener("click", (event) => {
    const target = event.target;
    const button = target.closest("button");
    if (button && button.classList.contains("copy")) return void copy(button);
    if (button && button.classList.contains("show-all")) {
      document.getElementById(button.dataset.table).classList.add("all");
      button.remove();
      return;
    }
    const picked = target.closest(".pick");
    if (picked && !window.getSelection().toString()) choose(Number(picked.dataset.trial), true);
  });
  document.documentElement.dataset.drawn = "yes";
})();
