"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const { nodes, cards, edges, words } = data;
  const view = $("view"), side = $("side"), svg = view.querySelector("svg"), all = $("all");
  const rowEl = [], cardEl = [], edgeEl = [];
  for (const el of svg.querySelectorAll("[data-n]")) rowEl[el.dataset.n] = el;
  for (const el of svg.querySelectorAll("[data-c]")) cardEl[el.dataset.c] = el;
  for (const el of svg.querySelectorAll("[data-e]")) edgeEl[el.dataset.e] = el;
  const byID = new Map(nodes.map((n, i) => [n.id, i]));
  const inward = nodes.map(() => []), outward = nodes.map(() => []);
  edges.forEach((e, i) => {
    if (e.from < 0) return;
    outward[e.from].push(i);
    inward[e.to].push(i);
  });
  const size = { w: svg.viewBox.baseVal.width, h: svg.viewBox.baseVal.height };
  const say = (key, value) => words[key].replace("%d", value).replace("%s", value);

  // Scale: the page begins with the whole width, but never so small that nothing can be read.
  let scale = 1;
  function zoom(to, x, y) {
    const old = scale;
    scale = Math.min(3, Math.max(0.08, to));
    svg.style.width = size.w * scale + "px";
    svg.style.height = size.h * scale + "px";
    if (x !== undefined) {
      view.scrollLeft = (view.scrollLeft + x) * scale / old - x;
      view.scrollTop = (view.scrollTop + y) * scale / old - y;
    }
  }
  const middle = () => [view.clientWidth / 2, view.clientHeight / 2];
  $("plus").onclick = () => zoom(scale * 1.25, ...middle());
  $("minus").onclick = () => zoom(scale / 1.25, ...middle());
  view.addEventListener("wheel", (ev) => {
    if (!ev.ctrlKey && !ev.metaKey) return;
    ev.preventDefault();
    const box = view.getBoundingClientRect();
    zoom(scale * Math.exp(-ev.deltaY / 400), ev.clientX - box.left, ev.clientY - box.top);
  }, { passive: false });

  // The ground can be dragged.
  let drag = null;
  view.addEventListener("pointerdown", (ev) => {
    if (ev.button === 0 && ev.pointerType === "mouse" && !ev.target.closest(".n,.head")) drag = { x: ev.clientX, y: ev.clientY, l: view.scrollLeft, t: view.scrollTop };
  });
  addEventListener("pointermove", (ev) => {
    if (!drag) return;
    view.classList.add("drag");
    view.scrollLeft = drag.l - (ev.clientX - drag.x);
    view.scrollTop = drag.t - (ev.clientY - drag.y);
  });
  addEventListener("pointerup", () => { drag = null; view.classList.remove("drag"); });

  // Folding: a folded card is its head, and the cards below it move up.
  const folded = new Set();
  function stack() {
    const columns = [];
    cards.forEach((c, i) => (columns[c.column] = columns[c.column] || []).push(i));
    let low = 0;
    for (const ids of columns) {
      ids.sort((a, b) => cards[a].y - cards[b].y);
      let y = Math.min(...ids.map((i) => cards[i].y));
      for (const i of ids) {
        const c = cards[i], h = folded.has(i) ? data.head : c.h;
        c.now = y;
        cardEl[i].setAttribute("transform", `translate(${c.x} ${y})`);
        cardEl[i].classList.toggle("folded", folded.has(i));
        cardEl[i].querySelector(".box").setAttribute("height", h);
        const head = cardEl[i].querySelector(".head");
        if (head) head.setAttribute("aria-expanded", String(!folded.has(i)));
        y += h + c.gap;
      }
      low = Math.max(low, y);
    }
    size.h = low + data.gapx / 4;
    svg.setAttribute("viewBox", `0 0 ${size.w} ${size.h}`);
    zoom(scale);
    edges.forEach(route);
  }
  function spot(n) {
    const node = nodes[n], c = cards[node.card];
    if (folded.has(node.card)) return { x: c.x, w: c.w, y: c.now + data.head / 2, column: c.column };
    return { x: c.x + node.x, w: node.w, y: c.now + node.y + data.row / 2, column: c.column };
  }
  function route(e, i) {
    if (e.from < 0) return;
    const a = spot(e.from), b = spot(e.to), x1 = a.x + a.w;
    let d;
    if (a.column < b.column) {
      const bend = Math.max(30, Math.min((b.x - x1) / 2, 160));
      d = `M${x1} ${a.y}C${x1 + bend} ${a.y} ${b.x - bend} ${b.y} ${b.x} ${b.y}`;
    } else {
      const x2 = b.x + b.w, out = Math.max(x1, x2) + data.gapx / 2;
      d = `M${x1} ${a.y}C${out} ${a.y} ${out} ${b.y} ${x2} ${b.y}`;
    }
    edgeEl[i].setAttribute("d", d);
  }
  const foldable = (i) => cards[i].title && !cards[i].nodes.some((n) => nodes[n].root);
  function fold(i, on) {
    if (!foldable(i)) return;
    if (on) folded.add(i); else folded.delete(i);
  }
  cardEl.forEach((el, i) => {
    const head = el.querySelector(".head");
    if (!head) return;
    head.setAttribute("tabindex", "0");
    head.setAttribute("role", "button");
    head.setAttribute("aria-expanded", "true");
    const toggle = () => { fold(i, !folded.has(i)); stack(); };
    head.addEventListener("click", toggle);
    head.addEventListener("keydown", (ev) => { if (ev.key === "Enter" || ev.key === " ") { ev.preventDefault(); toggle(); } });
  });
  $("fold").onclick = () => { cards.forEach((_, i) => fold(i, true)); stack(); };
  $("unfold").onclick = () => { folded.clear(); stack(); };
  if ($("every")) $("every").onchange = (ev) => svg.classList.toggle("every", ev.target.checked);

  // Choosing: what is known, the way from a root, who asks for it and what it asks for.
  let chosen = -1;
  function unmark() {
    for (const el of svg.querySelectorAll(".on,.way,.lit,.near")) el.classList.remove("on", "way", "lit", "near");
  }
  function choose(n, scroll) {
    unmark();
    chosen = n;
    svg.classList.toggle("quiet", n >= 0 || matches.length > 0);
    if (n < 0) { side.replaceChildren(); history.replaceState(null, "", location.pathname + location.search); return; }
    const way = wayTo(n);
    for (const i of inward[n]) { edgeEl[i].classList.add("lit"); rowEl[edges[i].from].classList.add("near"); }
    for (const i of outward[n]) { edgeEl[i].classList.add("lit"); rowEl[edges[i].to].classList.add("near"); }
    for (const i of way) { edgeEl[i].classList.add("way"); rowEl[edges[i].from].classList.add("way"); }
    rowEl[n].classList.add("on");
    show(n, way);
    if (folded.delete(nodes[n].card)) stack();
    if (scroll) reveal(n);
    history.replaceState(null, "", "#" + encodeURIComponent(nodes[n].id));
  }
  function wayTo(n) {
    const way = [];
    for (let at = n; nodes[at].parent >= 0; at = edges[nodes[at].parent].from) way.unshift(nodes[at].parent);
    return way;
  }
  function reveal(n) {
    const s = spot(n);
    view.scrollTo({ left: (s.x + s.w / 2) * scale - view.clientWidth / 2, top: s.y * scale - view.clientHeight / 2 });
  }
  function make(tag, text, ...children) {
    const el = document.createElement(tag);
    if (text) el.textContent = text;
    el.append(...children);
    return el;
  }
  function link(n) {
    const a = make("a", nodes[n].name);
    a.href = "#" + encodeURIComponent(nodes[n].id);
    a.onclick = (ev) => { ev.preventDefault(); choose(n, true); };
    return a;
  }
  function list(key, ids, end) {
    const ul = make("ul");
    const sorted = ids.slice().sort((a, b) => (edges[a].weak ? 1 : 0) - (edges[b].weak ? 1 : 0) || (nodes[end(a)].name < nodes[end(b)].name ? -1 : 1));
    for (const i of sorted) {
      const n = end(i), li = make("li", "", link(n), " ", make("small", nodes[n].sub || ""));
      if (edges[i].label) li.append(" ", make("small", say("asks", edges[i].label)));
      ul.append(li);
    }
    side.append(make("h3", words[key] + " (" + ids.length + ")"), ids.length ? ul : make("p", words.nobody));
  }
  function show(n, way) {
    const node = nodes[n], close = make("button", "×");
    close.className = "close";
    close.setAttribute("aria-label", "×");
    close.onclick = () => choose(-1);
    side.replaceChildren(close, make("h2", node.name + (node.sub ? " " + node.sub : "")));
    for (const m of node.marks || []) side.append(make("p", m.t));
    const dl = make("dl");
    for (const row of node.info || []) dl.append(make("dt", row.k), make("dd", row.v));
    side.append(dl);
    if (way.length) {
      const ol = make("ol", "", make("li", "", link(edges[way[0]].from)));
      for (const i of way) {
        const li = make("li", "", link(edges[i].to), " ", make("small", nodes[edges[i].to].sub || ""));
        if (edges[i].label) li.append(" ", make("small", say("asks", edges[i].label)));
        ol.append(li);
      }
      side.append(make("h3", words.path), ol);
    }
    list("from", inward[n], (i) => edges[i].from);
    list("to", outward[n], (i) => edges[i].to);
    side.scrollTop = 0;
  }
  rowEl.forEach((el, n) => {
    el.setAttribute("tabindex", "0");
    el.setAttribute("role", "button");
    el.addEventListener("click", () => choose(chosen === n ? -1 : n));
    el.addEventListener("keydown", (ev) => { if (ev.key === "Enter" || ev.key === " ") { ev.preventDefault(); choose(chosen === n ? -1 : n); } });
  });

  // Searching: every word must occur in the name, the version, a mark or what is known; Enter goes to the next.
  const text = nodes.map((n) => [n.name, n.sub, ...(n.marks || []).map((m) => m.t), ...(n.info || []).map((r) => r.v)].join("\n").toLowerCase());
  let matches = [], at = -1;
  const search = $("search");
  function find() {
    const want = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    matches = want.length ? text.map((t, i) => i).filter((i) => want.every((w) => text[i].includes(w))) : [];
    matches.sort((a, b) => nodes[a].name.length - nodes[b].name.length || (nodes[a].name < nodes[b].name ? -1 : 1));
    at = -1;
    const hit = new Set(matches);
    rowEl.forEach((el, i) => el.classList.toggle("hit-by", hit.has(i)));
    $("found").textContent = want.length ? (matches.length ? say("found", matches.length) : words["none-found"]) : "";
    svg.classList.toggle("quiet", want.length > 0 || chosen >= 0);
    let open = false;
    for (const i of matches) open = folded.delete(nodes[i].card) || open;
    if (open) stack();
    if (matches.length) reveal(matches[0]);
  }
  search.addEventListener("input", find);
  search.addEventListener("keydown", (ev) => {
    if (ev.key === "Enter" && matches.length) {
      at = (at + (ev.shiftKey ? matches.length - 1 : 1)) % matches.length;
      choose(matches[at], true);
    }
  });
  addEventListener("keydown", (ev) => {
    if (ev.key === "Escape") {
      if (search.value) { search.value = ""; find(); } else choose(-1);
    } else if (ev.key === "/" && document.activeElement !== search) {
      ev.preventDefault();
      search.focus();
    }
  });

  cards.forEach((c) => { c.now = c.y; });
  zoom(Math.min(1.15, Math.max(0.75, (view.clientWidth - 20) / size.w)));
  const start = byID.get(decodeURIComponent(location.hash.slice(1)));
  if (start !== undefined) choose(start, true);
})();
