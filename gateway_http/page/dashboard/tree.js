// The services as a tree on a plane: which nodes are drawn, and where. Pure: rows in, boxes out.
//
// The children of a node are side by side below it ("spread"), as an indented list ("hung"), or as several such lists side
// by side. Nodes are spread from the top as long as the width allows it; in a narrow column everything hangs, which is an
// ordinary indented tree.

/** Sizes in px. */
export const SIZES = { width: 150, height: 34, indent: 13, beside: 14, below: 24, pitch: 39, margin: 16, top: 50 };

/** At most this many nodes are drawn; the rest is folded into the node above it. */
export const MOST_NODES = 300;
/** At most this many children of one node are drawn. */
export const MOST_CHILDREN = 40;

/** The id of the node that holds services with neither parent nor children. */
export const WITHOUT_PARENT = "\u0000without-parent";

/**
 * The nodes to draw, as a forest: {id, row, title, children, all, open, hidden, troubled}. `rows` are drawn in their order;
 * `parentOf` returns a row's parent or undefined; `isTroubled` returns whether a row must stay visible; `folds` maps ids to
 * the choice of the user: true for open, false for closed.
 */
export function forest(rows, parentOf, isTroubled, folds) {
  const nodes = new Map(rows.map((row) => [row.id, { id: row.id, row, title: row.name, children: [], parent: null }]));
  for (const node of nodes.values()) {
    const parent = parentOf(node.row);
    node.parent = (parent !== undefined && nodes.get(parent.id)) || null;
  }
  for (const node of nodes.values()) if (inCircle(node)) node.parent = null;
  for (const node of nodes.values()) node.parent?.children.push(node);
  const roots = [...nodes.values()].filter((node) => node.parent === null);
  const families = roots.filter((node) => node.children.length > 0);
  const single = roots.filter((node) => node.children.length === 0);
  if (single.length > 0 && families.length > 0) {
    families.push({ id: WITHOUT_PARENT, row: null, title: "Without parent", children: single, parent: null });
    for (const node of single) node.parent = families.at(-1);
  } else families.push(...single);
  for (const node of families) measure(node, isTroubled);
  unfold(families, folds);
  return families;
}

/**
 * Boxes and lines for a forest in a column of some width: {boxes: [{node, x, y, level, place, of, corridor}], lines, width,
 * height}. Trees are above, side by side if there is room; services without a family are below in rows. Right of
 * `corridor` a line can come down to a box without crossing its neighbours.
 */
export function layout(families, width, sizes = SIZES) {
  const alone = families.filter((node) => node.id === WITHOUT_PARENT || node.children.length === 0).map(asDrawn);
  const top = { children: families.filter((node) => node.id !== WITHOUT_PARENT && node.children.length > 0).map(asDrawn), spread: false, columns: null };
  spread(top, width - 2 * sizes.margin, sizes);
  const plane = { boxes: [], lines: [], sizes };
  const used = breadth(top, sizes);
  const left = Math.max(sizes.margin, (width - used) / 2);
  let y = putChildren(top, left, sizes.top, 0, left + used, plane).bottom;
  const wide = Math.max(width, used + 2 * sizes.margin);
  for (const drawn of alone.length > 0 ? [{ node: null, children: alone.filter((each) => each.node.id !== WITHOUT_PARENT) }, ...alone.filter((each) => each.node.id === WITHOUT_PARENT)] : []) {
    y = putRows(drawn, y, wide, plane);
  }
  return { boxes: plane.boxes, lines: plane.lines, width: wide, height: y + sizes.margin };
}

// A node of the forest, or the "… and 12 more" below one that has too many children.
function asDrawn(node) {
  const children = node.open ? node.shown.map(asDrawn) : [];
  const rest = node.open ? node.children.length - node.shown.length : 0;
  if (rest > 0) children.push({ node: { id: `${node.id}\u0000more`, row: null, title: `and ${rest.toLocaleString("en")} more`, children: [], rest }, children: [], spread: false, columns: null });
  return { node, children, spread: false, columns: null };
}

function measure(node, isTroubled) {
  // Depth is bounded by the registry's own rule against cycles, not by a number: no recursion.
  const order = [node];
  for (let at = 0; at < order.length; at += 1) order.push(...order[at].children);
  for (const each of order.reverse()) {
    each.all = each.children.reduce((sum, child) => sum + 1 + child.all, 0);
    each.urgent = each.row !== null && isTroubled(each.row);
    each.troubled = each.children.reduce((sum, child) => sum + child.troubled + (child.urgent ? 1 : 0), 0);
  }
}

// Open from the top while there is room; trouble is always in sight, and what a person chose wins.
function unfold(families, folds) {
  let room = MOST_NODES - families.length;
  const queue = [...families];
  for (let at = 0; at < queue.length; at += 1) {
    const node = queue[at];
    const chosen = folds.get(node.id);
    node.shown = node.children;
    if (node.children.length > MOST_CHILDREN) {
      const urgent = node.children.filter((child) => child.troubled > 0 || child.urgent);
      const calm = node.children.filter((child) => !(child.troubled > 0 || child.urgent));
      node.shown = [...urgent, ...calm].slice(0, MOST_CHILDREN);
    }
    const fits = node.shown.length <= room;
    node.open = node.children.length > 0 && (chosen ?? (fits || (node.troubled > 0 && room > -MOST_NODES)));
    if (!node.open) continue;
    room -= node.shown.length;
    queue.push(...node.shown);
  }
}

function inCircle(node) {
  const seen = new Set([node]);
  for (let each = node.parent; each !== null; each = each.parent) {
    if (each === node) return true;
    if (seen.has(each)) return false; // a cycle, but not through this node
    seen.add(each);
  }
  return false;
}

function spread(top, width, sizes) {
  const queue = [top];
  for (let at = 0; at < queue.length; at += 1) {
    const drawn = queue[at];
    if (!drawn.children.some((child) => child.children.length > 0) && drawn.children.length !== 1) continue;
    drawn.spread = true;
    if (breadth(top, sizes) <= width) {
      queue.push(...drawn.children);
      continue;
    }
    drawn.spread = false;
    for (let many = drawn.children.length - 1; many > 1 && drawn.columns === null; many -= 1) {
      drawn.columns = inColumns(drawn.children, many);
      if (breadth(top, sizes) > width) drawn.columns = null;
    }
  }
}

// The children in at most `many` columns, in order, so that the highest is as low as it can be.
function inColumns(children, many) {
  const heights = children.map(rowsOf);
  for (let most = Math.max(...heights); ; most += 1) {
    const columns = [];
    let room = 0;
    children.forEach((child, at) => {
      if (heights[at] > room) {
        columns.push([]);
        room = most;
      }
      columns.at(-1).push(child);
      room -= heights[at];
    });
    if (columns.length <= many) return columns;
  }
}

function rowsOf(drawn) {
  return drawn.children.reduce((sum, child) => sum + rowsOf(child), 1);
}

function breadth(drawn, sizes) {
  const own = drawn.node === undefined ? 0 : sizes.width;
  if (drawn.children.length === 0) return own;
  const indent = drawn.node === undefined ? 0 : sizes.indent;
  const widest = (children) => Math.max(...children.map((child) => breadth(child, sizes)));
  const sum = (parts) => parts.reduce((all, part) => all + part, 0) + sizes.beside * (parts.length - 1);
  if (drawn.spread) return Math.max(own, sum(drawn.children.map((child) => breadth(child, sizes))));
  if (drawn.columns !== null) return Math.max(own, sum(drawn.columns.map((column) => indent + widest(column))));
  return Math.max(own, indent + widest(drawn.children));
}

// Puts a node and all below it, its left edge at `x`; answers its lower edge and the middle of its box.
function put(drawn, place, parent, x, y, level, corridor, plane, bus = null) {
  const { sizes } = plane;
  const box = { node: drawn.node, x, y, level, ...place, corridor };
  plane.boxes.push(box);
  if (parent?.box) plane.lines.push({ from: parent.box, to: box, spread: parent.spread, bus });
  drawn.box = box;
  if (drawn.children.length === 0) return { bottom: y + sizes.pitch, middle: x + sizes.width / 2 };
  const isWide = drawn.spread || drawn.columns !== null;
  const inner = isWide ? x : x + sizes.indent;
  const under = y + (isWide ? sizes.height + sizes.below : sizes.pitch);
  const { bottom, middle } = putChildren(drawn, inner, under, level, corridor, plane);
  if (isWide) {
    box.x = Math.max(x, Math.min(middle - sizes.width / 2, x + breadth(drawn, sizes) - sizes.width));
    box.corridor = box.x + sizes.width; // above it are only those that it hangs from
  }
  return { bottom, middle: box.x + sizes.width / 2 };
}

function putChildren(drawn, left, y, level, corridor, plane) {
  const { sizes } = plane;
  const columns = drawn.spread ? drawn.children.map((child) => [child]) : (drawn.columns ?? [drawn.children]);
  const indent = drawn.columns !== null && drawn.node !== undefined ? sizes.indent : 0;
  const middles = [];
  let [x, bottom, place] = [left, y, 0];
  for (const column of columns) {
    const wide = indent + Math.max(...column.map((child) => breadth(child, sizes)));
    const edge = columns.length > 1 ? x + wide : corridor;
    const bus = drawn.columns !== null ? x + 3 : null;
    let lower = y;
    for (const child of column) {
      const done = put(child, { place: (place += 1), of: drawn.children.length }, drawn, x + indent, lower, level + 1, edge, plane, bus);
      if (lower === y) middles.push(done.middle);
      lower = done.bottom;
    }
    bottom = Math.max(bottom, lower);
    x += wide + sizes.beside;
  }
  return { bottom, middle: ((middles[0] ?? left) + (middles.at(-1) ?? left)) / 2 };
}

// Puts nodes without a family in rows, as many in each as there is room for, below the one that holds them (if any).
function putRows(drawn, top, width, plane) {
  const { sizes } = plane;
  const step = sizes.width + sizes.beside;
  const across = Math.max(1, Math.floor((width - 2 * sizes.margin + sizes.beside) / step));
  const shown = Math.min(across, Math.max(drawn.children.length, drawn.node === null ? 0 : 1));
  const left = Math.max(sizes.margin, (width - shown * step + sizes.beside) / 2);
  let y = top;
  if (drawn.node !== null) {
    y += sizes.below;
    plane.boxes.push({ node: drawn.node, x: left, y, level: 1, place: 1, of: 1, corridor: left + sizes.width });
    y += sizes.pitch;
  }
  drawn.children.forEach((child, at) => {
    const x = left + (at % across) * step;
    const level = drawn.node === null ? 1 : 2;
    plane.boxes.push({ node: child.node, x, y: y + Math.floor(at / across) * sizes.pitch, level, place: at + 1, of: drawn.children.length, corridor: x + sizes.width });
  });
  return y + Math.ceil(drawn.children.length / across) * sizes.pitch;
}
