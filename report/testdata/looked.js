// SPDX-License-Identifier: GPL-2.0-or-later
// What is wrong with the page as the browser shows it. The value is a list of
// complaints; width is the screen's, dark the face that was asked for.
((width, dark) => {
  const wrong = new Set();
  const root = document.documentElement;
  const shown = (e) => e.getClientRects().length > 0;
  const called = (e) => {
    const c = typeof e.className === 'string' ? e.className : e.getAttribute('class');
    return '<' + e.localName + (e.id ? '#' + e.id : '') + (c ? '.' + c.trim().replace(/\s+/g, '.') : '') + '>';
  };
  const excerpt = (s) => JSON.stringify(s.trim().slice(0, 40));

  // Width: what is wider than the screen has to scroll in a box of its own.
  if (root.clientWidth !== width) wrong.add(`width: laid out ${root.clientWidth} wide on a screen of ${width}`);
  if (root.scrollWidth > root.clientWidth) wrong.add(`width: the page scrolls sideways, ${root.scrollWidth} wide`);
  const boxed = (e) => {
    for (let p = e.parentElement; p; p = p.parentElement) {
      if (p.namespaceURI.endsWith('svg') || ['auto', 'scroll'].includes(getComputedStyle(p).overflowX)) return true;
    }
    return false;
  };
  for (const e of document.body.querySelectorAll('*')) {
    if (e.ownerSVGElement) continue; // the drawing's own box is what counts
    const r = e.getBoundingClientRect();
    if (shown(e) && r.width && (r.right > root.clientWidth + 0.5 || r.left < -0.5) && !boxed(e)) wrong.add(`width: ${called(e)} sticks out`);
  }

  // Colours, as a browser computes them, to [red, green, blue, opacity].
  const colour = (s) => {
    const m = /^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/.exec(s);
    if (!m) { wrong.add(`contrast: a colour that can't be judged, ${s}`); return [128, 128, 128, 1]; }
    return [+m[1], +m[2], +m[3], m[4] === undefined ? 1 : +m[4]];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3])).concat(1);
  const paper = (e) => {
    if (!e) {
      const probe = document.body.appendChild(document.createElement('i'));
      probe.style.background = 'Canvas';
      const c = colour(getComputedStyle(probe).backgroundColor);
      probe.remove();
      return c;
    }
    const c = colour(getComputedStyle(e).backgroundColor);
    return c[3] === 1 ? c : over(c, paper(e.parentElement));
  };
  // Relative luminance and contrast as WCAG 2 defines them.
  const luminance = (c) => {
    const [r, g, b] = c.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [lo, hi] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (hi + 0.05) / (lo + 0.05);
  };
  const opacity = (e) => e ? +getComputedStyle(e).opacity * opacity(e.parentElement) : 1;
  const page = luminance(paper(document.body));
  if (dark ? page > 0.2 : page < 0.8) wrong.add(`scheme: the page's luminance is ${page.toFixed(2)}`);

  // Text: every word of it, in tables and drawings too.
  let words = 0;
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const measured = document.createRange();
  while (walk.nextNode()) {
    const n = walk.currentNode, e = n.parentElement;
    if (!n.data.trim()) continue;
    measured.selectNodeContents(n);
    if (!measured.getClientRects().length) continue; // a drawing's title, say
    words++;
    const style = getComputedStyle(e), svg = e.ownerSVGElement;
    const ink = colour(svg ? style.fill : style.color);
    ink[3] *= opacity(e) * (svg ? +style.fillOpacity : 1);
    const back = paper(svg ? svg.parentElement : e);
    const ratio = contrast(over(ink, back), back);
    if (ratio < 4.5) wrong.add(`contrast: ${ratio.toFixed(2)} in ${called(e)} ${excerpt(n.data)}`);
    const size = svg ? e.getBoundingClientRect().height : parseFloat(style.fontSize);
    if (size < 9) wrong.add(`size: letters ${size.toFixed(1)} high in ${called(e)} ${excerpt(n.data)}`);
  }
  if (!words) wrong.add('text: there is none');

  // Drawings.
  for (const s of document.querySelectorAll('svg')) {
    const r = s.getBoundingClientRect();
    const name = s.getAttribute('aria-label') || s.querySelector(':scope > title')?.textContent || '';
    if (s.getAttribute('role') !== 'img' || !name.trim()) wrong.add(`drawing: ${called(s)} has no name`);
    if (r.width < 20 || r.height < 2) { wrong.add(`drawing: ${called(s)} ${excerpt(name)} is ${r.width} by ${r.height}`); continue; }
    const inked = [...s.querySelectorAll('path, circle, rect, line, polyline, polygon')].some((e) => {
      const b = e.getBoundingClientRect();
      return b.width || b.height;
    });
    if (!inked) wrong.add(`drawing: ${called(s)} ${excerpt(name)} is empty`);
    const texts = [...s.querySelectorAll('text')].map((e) => [e, e.getBoundingClientRect()]);
    for (const [i, [e, a]] of texts.entries()) {
      if (a.left < r.left - 1 || a.right > r.right + 1 || a.top < r.top - 1 || a.bottom > r.bottom + 1) wrong.add(`drawing: ${excerpt(e.textContent)} is cut off in ${excerpt(name)}`);
      for (const [f, b] of texts.slice(i + 1)) {
        const w = Math.min(a.right, b.right) - Math.max(a.left, b.left), h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        // Boxes have room above and below the letters.
        if (w > 1 && h > 0.35 * Math.min(a.height, b.height)) wrong.add(`drawing: ${excerpt(e.textContent)} and ${excerpt(f.textContent)} lie on each other in ${excerpt(name)}`);
      }
    }
  }

  // Ways within the page.
  const seen = new Set();
  for (const e of document.querySelectorAll('[id]')) {
    if (seen.has(e.id)) wrong.add(`anchor: two places are called ${e.id}`);
    seen.add(e.id);
  }
  for (const a of document.querySelectorAll('a')) {
    const to = a.getAttribute('href') ?? '';
    if (to.startsWith('#') ? !seen.has(decodeURIComponent(to.slice(1))) : !to || /^([a-z][a-z0-9+.-]*:|\/)/i.test(to)) wrong.add(`anchor: ${excerpt(a.textContent)} leads to ${to || 'nowhere'}`);
  }
  return [...wrong];
})
