// Run by a browser in test_topology_browser.py: what it laid out, not what we meant.
// Every text must be within the first box of its group, within the drawing, and on no other text.
const svg = document.querySelector("svg");
const wrong = [];
const words = (text) => text.textContent.slice(0, 60);
const within = (inner, outer) =>
  inner.x >= outer.x - 0.5 && inner.x + inner.width <= outer.x + outer.width + 0.5 &&
  inner.y >= outer.y - 1 && inner.y + inner.height <= outer.y + outer.height + 1;
for (const group of svg.querySelectorAll("g")) {
  const box = group.querySelector("rect").getBBox();
  for (const text of group.querySelectorAll("text"))
    if (!within(text.getBBox(), box)) wrong.push(`leaves its box: ${words(text)}`);
}
const texts = [...svg.querySelectorAll("text")].map((text) => [text, text.getBBox()]);
const common = (a, b, at, size) => Math.min(a[at] + a[size], b[at] + b[size]) - Math.max(a[at], b[at]);
texts.forEach(([text, box], at) => {
  if (!within(box, svg.viewBox.baseVal)) wrong.push(`leaves the drawing: ${words(text)}`);
  for (const [other, its] of texts.slice(at + 1)) // glyphs seldom fill the height of their line
    if (common(box, its, "x", "width") > 1 && common(box, its, "y", "height") > 4)
      wrong.push(`lie on each other: ${words(text)} | ${words(other)}`);
});
if (document.title !== "still") wrong.push("a script of the drawing has run");
document.getElementById("said").textContent = [texts.length, ...wrong].join("\n");
