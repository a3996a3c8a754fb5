"use strict";
// On paper nothing can be unfolded.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details")) folded.open = true;
});

// Reads values off the plots: under the pointer, and by the arrow keys for whoever has none.
for (const svg of document.querySelectorAll("svg.drawn")) {
  const series = JSON.parse(svg.dataset.series).filter((one) => one.points.length > 0);
  const [left, right, top, bottom, width] = ["left", "right", "top", "bottom", "width"].map((name) => Number(svg.dataset[name]));
  const all = [...new Set(series.flatMap((one) => one.points.map((point) => point[0])))].sort((a, b) => a - b);
  if (all.length === 0) continue;
  const shape = (name, attributes) => {
    const made = document.createElementNS(svg.namespaceURI, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };
  const readout = document.createElement("div");
  readout.className = "readout";
  readout.setAttribute("role", "status");
  readout.hidden = true;
  svg.parentElement.append(readout);
  const cursor = shape("g", {});
  svg.append(cursor);
  let index = 0;

  const hide = () => {
    readout.hidden = true;
    cursor.replaceChildren();
  };
  const nearest = (points, x) => points.reduce((best, point) => (Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best));
  const show = (x) => {
    const found = series.map((one) => ({ ...one, point: nearest(one.points, x) }));
    const at = nearest(found.map((one) => one.point), x);
    cursor.replaceChildren(shape("path", { class: "cursor", d: `M${at[0]} ${top}V${bottom}` }));
    const title = document.createElement("b");
    title.textContent = at[2];
    const rows = found.map((one) => {
      const [row, dot, label, value] = ["div", "i", "span", "b"].map((name) => document.createElement(name));
      dot.style.background = `var(--s${one.number})`;
      label.textContent = one.label;
      value.textContent = one.point[3];
      row.append(dot, label, value);
      cursor.append(shape("circle", { class: `s${one.number} found`, cx: one.point[0], cy: one.point[1], r: 5 }));
      return row;
    });
    readout.replaceChildren(title, ...rows);
    readout.hidden = false;
    const scale = svg.clientWidth / width;
    const place = at[0] * scale;
    const isRight = at[0] > (left + right) / 2;
    readout.style.top = `${svg.offsetTop === undefined ? 24 : svg.offsetTop + 8}px`;
    readout.style.left = isRight ? "auto" : `${place + 14}px`;
    readout.style.right = isRight ? `${svg.clientWidth - place + 14}px` : "auto";
  };

  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * width;
    if (x < left - 10 || x > right + 10) return hide();
    index = all.indexOf(nearest(all.map((px) => [px]), x)[0]);
    show(all[index]);
  });
  svg.addEventListener("pointerleave", hide);
  svg.addEventListener("blur", hide);
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -all.length, End: all.length }[event.key];
    if (step === undefined) {
      if (event.key === "Escape") hide();
      return;
    }
    event.preventDefault();
    index = Math.min(all.length - 1, Math.max(0, index + step));
    show(all[index]);
  });
}
