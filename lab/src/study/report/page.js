'use strict';
(() => {
  const texts = JSON.parse(document.getElementById('texts').textContent);
  const data = JSON.parse(document.getElementById('data').textContent);
  const asked = new URLSearchParams(location.search).get('lang');
  let language = ['en', 'ko'].includes(asked) ? asked : (navigator.language || 'en').startsWith('ko') ? 'ko' : 'en';
  const OURS = 'fastserve';

  // Words, with blanks filled in.
  function t(key, blanks = {}) {
    const text = texts[language][key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name) => blanks[name] ?? '');
  }
  const known = new Map(data.targets.map((one) => [one.name, one]));
  const title = (name) => known.get(name)?.title ?? name;
  const COLOURS = { Rust: 'rust', Go: 'go', Java: 'java', JavaScript: 'javascript', TypeScript: 'javascript', Python: 'python', 'C++': 'cpp', 'C#': 'csharp' };
  const colourOf = (spoken) => `var(--${COLOURS[spoken] ?? 'csharp'})`;
  const colour = (name) => colourOf(known.get(name)?.language);

  // Elements. Text is always set as text.
  function el(tag, attributes = {}, ...children) {
    const space = ['svg', 'g', 'line', 'rect', 'circle', 'text', 'path', 'title'].includes(tag) ? 'http://www.w3.org/2000/svg' : null;
    const node = space ? document.createElementNS(space, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
      else if (value !== undefined && value !== null && value !== false) node.setAttribute(name, value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined));
    return node;
  }

  const number = (value, digits) => new Intl.NumberFormat(language, { maximumFractionDigits: digits ?? (Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2) }).format(value);
  const times = (ratio) => `${number(ratio.value)}×`;
  const range = (ratio) => (ratio.low == null ? t('one_round') : `${number(ratio.low)}–${number(ratio.high)}×`);
  const MEASURES = {
    requests_per_cpu_s: { more: true, scale: 1, unit: '/s' },
    requests_per_s: { more: true, scale: 1, unit: '/s' },
    cpu_us_per_request: { more: false, scale: 1, unit: ' µs' },
    p50_us: { more: false, scale: 1e-3, unit: ' ms' },
    p99_us: { more: false, scale: 1e-3, unit: ' ms' },
    memory_mib: { more: false, scale: 1, unit: ' MiB' },
    started_ms: { more: false, scale: 1, unit: ' ms' },
    idle_mib: { more: false, scale: 1, unit: ' MiB' },
  };
  const shown = (value, measure) => number(value * MEASURES[measure].scale) + MEASURES[measure].unit;

  const tip = el('div', { id: 'tip', role: 'status' });
  function tells(text) {
    return {
      onpointermove: (event) => {
        tip.textContent = text;
        tip.style.display = 'block';
        tip.style.left = `${Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8)}px`;
        tip.style.top = `${Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)}px`;
      },
      onpointerleave: () => { tip.style.display = 'none'; },
    };
  }

  const FACTORS = ['database', 'cache', 'gzip', 'keep_alive', 'http', 'streams', 'connections', 'pool', 'proxy', 'driver', 'rate', 'n'];
  const key = (factors, without = []) => FACTORS.filter((name) => !without.includes(name)).map((name) => `${name}=${factors[name]}`).join(' ');
  const level = (name, value) => t(`level.${name}.${value}`) !== `level.${name}.${value}` ? t(`level.${name}.${value}`) : String(value);
  const spoken = (factors, names) => names.map((name) => `${t(`factor.${name}`)} ${level(name, factors[name])}`).join(', ');

  // A ratio's axis or a logarithmic one: round numbers between the ends.
  function ticks(low, high) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const digit of [1, 2, 5]) {
        const value = digit * 10 ** power;
        if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
      }
    }
    return found.length > 9 ? found.filter((value) => String(value).replace(/[0.]/g, '').startsWith('1')) : found;
  }
  const width = () => Math.max(320, Math.min(1056, document.documentElement.clientWidth - 66));

  // What the longest of these names needs beside a chart, up to a share of it.
  const room = (names, most) => Math.min(20 + 7 * Math.max(...names.map((name) => title(name).length)), width() * most);

  // Bars with whiskers: one measure of one endpoint, of everyone.
  function bars(cells, measure) {
    const { more } = MEASURES[measure];
    const with_ = cells.filter((cell) => cell.measures[measure]);
    with_.sort((a, b) => (more ? -1 : 1) * (a.measures[measure].value - b.measures[measure].value));
    if (with_.length === 0) return el('p', { class: 'soft' }, t('nothing'));
    const [full, row, left] = [width(), 26, room(with_.map((cell) => cell.target), 0.42)];
    const right = 96;
    const most = Math.max(...with_.map((cell) => cell.measures[measure].high ?? cell.measures[measure].value));
    const top = Math.min(most, 1.25 * Math.max(...with_.map((cell) => cell.measures[measure].value)));
    const x = (value) => left + (Math.min(value, top) / top) * (full - left - right);
    const svg = el('svg', { viewBox: `0 0 ${full} ${with_.length * row + 6}`, role: 'img', 'aria-label': t(`measure.${measure}`) });
    with_.forEach((cell, at) => {
      const { value, low, high, rounds } = cell.measures[measure];
      const y = at * row + 4;
      const text = `${title(cell.target)}: ${shown(value, measure)}\n${low == null ? t('one_round') : `${shown(low, measure)} – ${shown(high, measure)} (95 %)`}\n${t('rounds', { count: rounds })}`;
      svg.append(
        el('text', { x: left - 8, y: y + 14, 'text-anchor': 'end', class: cell.target === OURS ? 'ours' : undefined }, title(cell.target)),
        el('rect', { class: 'mark', x: left, y, width: Math.max(1, x(value) - left), height: row - 8, rx: 3, fill: colour(cell.target), opacity: cell.target === OURS ? 1 : 0.72, ...tells(text) }),
        low == null ? null : el('line', { class: 'whisker', x1: x(low), x2: x(high), y1: y + 9, y2: y + 9 }),
        el('text', { x: Math.max(x(value), high == null ? 0 : x(high)) + 6, y: y + 14, class: 'soft' }, shown(value, measure)),
      );
    });
    return svg;
  }

  // Lines over a factor's levels, or over percentiles; both axes logarithmic.
  function lines(series, { x: label, y: measure, xs, shownX }) {
    const all = series.flatMap((one) => one.points);
    if (all.length === 0) return el('p', { class: 'soft' }, t('nothing'));
    const [full, height, left, right, bottom] = [width(), 380, 66, room(series.map((one) => one.name), 0.45), 42];
    const values = all.map((point) => point.y);
    const [low, high] = [Math.min(...values) * 0.85, Math.max(...values) * 1.15];
    const at = (value) => left + (xs.indexOf(value) / Math.max(1, xs.length - 1)) * (full - left - right);
    const y = (value) => 10 + (1 - Math.log(value / low) / Math.log(high / low)) * (height - bottom - 10);
    const svg = el('svg', { viewBox: `0 0 ${full} ${height}`, role: 'img', 'aria-label': t(`measure.${measure}`) });
    for (const value of ticks(low, high)) {
      svg.append(el('line', { class: 'grid', x1: left, x2: full - right, y1: y(value), y2: y(value) }), el('text', { class: 'soft', x: left - 8, y: y(value) + 4, 'text-anchor': 'end' }, number(value)));
    }
    for (const value of xs) svg.append(el('text', { class: 'soft', x: at(value), y: height - bottom + 18, 'text-anchor': 'middle' }, shownX ? shownX(value) : String(value)));
    svg.append(el('text', { class: 'soft', x: left, y: height - 4 }, label));
    // Labels at the ends, moved apart where lines end together.
    const ends = series.filter((one) => one.points.length > 0).map((one) => ({ one, y: y(one.points.at(-1).y) })).sort((a, b) => a.y - b.y);
    ends.forEach((end, index) => { if (index > 0) end.y = Math.max(end.y, ends[index - 1].y + 14); });
    const over = ends.length > 0 ? Math.max(0, ends.at(-1).y - (height - bottom + 4)) : 0;
    if (over > 0) for (let index = ends.length - 1, most = height - bottom + 4; index >= 0; index -= 1, most -= 14) ends[index].y = Math.min(ends[index].y, most);
    for (const { one, y: labelled } of ends) {
      const ours = one.name === OURS;
      const path = one.points.map((point, index) => `${index ? 'L' : 'M'}${at(point.x)},${y(point.y)}`).join('');
      svg.append(el('path', { d: path, fill: 'none', stroke: colour(one.name), 'stroke-width': ours ? 3.2 : 1.6, opacity: ours ? 1 : 0.8 }));
      for (const point of one.points) svg.append(el('circle', { class: 'mark', cx: at(point.x), cy: y(point.y), r: ours ? 4.5 : 3.5, fill: colour(one.name), ...tells(`${title(one.name)}\n${shownX ? shownX(point.x) : point.x}: ${number(point.y)}${MEASURES[measure]?.unit ?? ''}`) }));
      const last = one.points.at(-1);
      svg.append(el('text', { x: at(last.x) + 10, y: labelled + 4, class: ours ? 'ours' : undefined, style: `fill:${colour(one.name)}` }, title(one.name)));
    }
    return svg;
  }

  // Ratios with their intervals, on a logarithmic axis round 1.
  function effects(rows) {
    if (rows.length === 0) return el('p', { class: 'soft' }, t('nothing'));
    const [full, row, left, right] = [width(), 24, Math.min(250, width() * 0.42), 70];
    const ends = rows.flatMap((one) => [one.ratio.low ?? one.ratio.value, one.ratio.high ?? one.ratio.value, one.ratio.value]);
    const [low, high] = [Math.max(0.02, Math.min(0.8, ...ends)), Math.min(50, Math.max(1.25, ...ends))];
    const x = (value) => left + (Math.log(Math.min(high, Math.max(low, value)) / low) / Math.log(high / low)) * (full - left - right);
    const bottom = rows.length * row + 4;
    const svg = el('svg', { viewBox: `0 0 ${full} ${bottom + 26}`, role: 'img' });
    const apart = (value) => value === 1 || Math.abs(x(value) - x(1)) > 34;
    const shownTicks = ticks(low, high).filter(apart).reduce((kept, value) => (value !== 1 && kept.length > 0 && x(value) - x(kept.at(-1)) < 34 ? kept : [...kept, value]), []);
    for (const value of shownTicks) svg.append(el('line', { class: value === 1 ? 'axis' : 'grid', x1: x(value), x2: x(value), y1: 0, y2: bottom, 'stroke-width': value === 1 ? 2 : 1 }), el('text', { class: 'soft', x: x(value), y: bottom + 16, 'text-anchor': 'middle' }, `${number(value)}×`));
    rows.forEach((one, index) => {
      const y = index * row + row / 2;
      const { value, low: from, high: to, is_difference: differs } = one.ratio;
      const text = `${one.label}\n${times(one.ratio)} (${range(one.ratio)})\n${differs ? '' : t('no_difference')}`;
      svg.append(
        el('text', { x: left - 8, y: y + 4, 'text-anchor': 'end', class: one.name === OURS ? 'ours' : undefined }, one.label),
        from == null ? null : el('line', { class: 'whisker', x1: x(from), x2: x(to), y1: y, y2: y }),
        el('circle', { class: 'mark', cx: x(value), cy: y, r: 5, fill: differs ? colour(one.name) : 'var(--card)', stroke: colour(one.name), 'stroke-width': 2, ...tells(text) }),
        el('text', { x: full - right + 10, y: y + 4, class: 'soft' }, differs ? times(one.ratio) : '≈'),
      );
    });
    return svg;
  }

  function legend() {
    const there = [...new Set(data.cells.map((cell) => known.get(cell.target)?.language))].filter(Boolean);
    return el('div', { class: 'legend' }, there.map((one) => el('span', {}, el('i', { style: `background:${colourOf(one)}` }), one)));
  }

  function choose(label, options, value, change) {
    const select = el('select', { onchange: (event) => change(event.target.value) }, options.map(([name, text]) => el('option', { value: name, ...(name === value ? { selected: '' } : {}) }, text)));
    return el('label', {}, label, select);
  }

  // A chart with controls that draws itself anew.
  function chart(state, controls, draw) {
    const box = el('div', { class: 'card' });
    const refresh = () => {
      box.replaceChildren(el('div', { class: 'controls' }, controls(state, refresh)), draw(state), legend());
    };
    refresh();
    addEventListener('resize', () => { if (box.isConnected) refresh(); });
    return box;
  }
  const pick = (state, name, options, label) => (refresh) => {
    if (!options.some(([value]) => value === state[name])) state[name] = options[0]?.[0];
    return choose(label, options, state[name], (value) => { state[name] = value; refresh(); });
  };

  const endpoints = ['health', 'compute', 'cache', 'db', 'read', 'list', 'create', 'mix'].filter((name) => data.cells.some((cell) => cell.endpoint === name));
  const endpointOptions = (some = endpoints) => some.map((name) => [name, t(`endpoint.${name}`)]);
  const state = { bars: { endpoint: endpoints[0], measure: 'requests_per_cpu_s' }, latency: { endpoint: endpoints[0] }, start: { measure: 'memory_mib' }, scaling: { measure: 'requests_per_s' }, effect: {}, raw: { endpoint: endpoints[0] } };

  // The combinations of levels in which an endpoint was measured, the one with most targets first.
  function combinations(endpoint, accept = () => true) {
    const found = new Map();
    for (const cell of data.cells) {
      if (cell.endpoint !== endpoint || !accept(cell)) continue;
      const id = key(cell.factors);
      if (!found.has(id)) found.set(id, { id, factors: cell.factors, cells: [] });
      found.get(id).cells.push(cell);
    }
    return [...found.values()].sort((a, b) => b.cells.length - a.cells.length);
  }
  const says = (factors, endpoint) => spoken(factors, ['database', 'cache', 'gzip', 'keep_alive', 'http', 'streams', 'connections', 'pool', 'proxy', 'driver', 'rate', ...(endpoint === 'compute' ? ['n'] : [])].filter((name) => differs[name]?.has(endpoint)));
  // Which factors an endpoint was measured at several levels of: only those tell combinations apart.
  const differs = {};
  for (const name of FACTORS) {
    differs[name] = new Set(endpoints.filter((endpoint) => new Set(data.cells.filter((cell) => cell.endpoint === endpoint).map((cell) => cell.factors[name])).size > 1));
  }

  function withEndpoint(own, draw, measures, accept) {
    return chart(own, (chosen, refresh) => {
      const some = combinations(chosen.endpoint, accept);
      if (!some.some((one) => one.id === chosen.how)) chosen.how = some[0]?.id;
      return [
        pick(chosen, 'endpoint', endpointOptions(endpoints.filter((name) => combinations(name, accept).length > 0)), t('endpoint'))(() => { chosen.how = undefined; refresh(); }),
        measures ? pick(chosen, 'measure', measures.map((name) => [name, t(`measure.${name}`)]), t('measure'))(refresh) : null,
        some.length > 1 ? choose(t('how'), some.map((one) => [one.id, says(one.factors, chosen.endpoint) || t('as_usual')]), chosen.how, (value) => { chosen.how = value; refresh(); }) : null,
      ];
    }, (chosen) => draw((combinations(chosen.endpoint, accept).find((one) => one.id === chosen.how) ?? { cells: [] }).cells, chosen));
  }

  function percentiles(cells) {
    const xs = ['p50_us', 'p75_us', 'p90_us', 'p99_us', 'p999_us'];
    const names = { p50_us: '50', p75_us: '75', p90_us: '90', p99_us: '99', p999_us: '99.9' };
    const series = cells.map((cell) => ({ name: cell.target, points: xs.filter((x) => cell.measures[x]).map((x) => ({ x, y: cell.measures[x].value / 1e3 })) }));
    return lines(series, { x: t('percentile_axis'), y: 'p99_us', xs, shownX: (x) => names[x] });
  }

  // Slices that vary one thing over several numbers: curves.
  function scaling() {
    const GROWS = ['connections', 'pool', 'rate'];
    const factorOf = (slice) => GROWS.find((name) => slice.factors.includes(name) && new Set(slice.cells.map((at) => data.cells[at].factors[name])).size > 1);
    // Not where something else changes along with it.
    const slices = data.slices.filter((slice) => factorOf(slice) && !slice.factors.includes('http'));
    if (slices.length === 0) return el('p', { class: 'soft' }, t('nothing'));
    const own = state.scaling;
    return chart(own, (chosen, refresh) => {
      const options = slices.flatMap((slice) => [...new Set(slice.cells.map((at) => data.cells[at].endpoint))].map((endpoint) => [`${slice.name}|${endpoint}`, `${t(`factor.${factorOf(slice)}`)} · ${t(`endpoint.${endpoint}`)}`]));
      return [pick(chosen, 'slice', options, t('curve'))(refresh), pick(chosen, 'measure', ['requests_per_s', 'requests_per_cpu_s', 'p50_us', 'p99_us', 'memory_mib'].map((name) => [name, t(`measure.${name}`)]), t('measure'))(refresh)];
    }, (chosen) => {
      const [name, endpoint] = chosen.slice.split('|');
      const slice = slices.find((one) => one.name === name);
      const factor = factorOf(slice);
      const cells = slice.cells.map((at) => data.cells[at]).filter((cell) => cell.endpoint === endpoint);
      const xs = [...new Set(cells.map((cell) => cell.factors[factor]))].sort((a, b) => a - b);
      const others = key(cells[0].factors, [factor]);
      const scale = MEASURES[chosen.measure].scale;
      const series = [...new Set(cells.map((cell) => cell.target))].map((target) => ({ name: target, points: cells.filter((cell) => cell.target === target && key(cell.factors, [factor]) === others && cell.measures[chosen.measure]).map((cell) => ({ x: cell.factors[factor], y: cell.measures[chosen.measure].value * scale })).sort((a, b) => a.x - b.x) }));
      return lines(series, { x: t(`factor.${factor}`), y: chosen.measure, xs });
    });
  }

  // The effect of one level against another, everything else the same.
  function effectPairs() {
    const pairs = new Map();
    for (const factor of ['gzip', 'keep_alive', 'cache', 'database', 'proxy', 'http', 'connections', 'pool']) {
      const groups = new Map();
      for (const cell of data.cells) {
        const id = `${cell.target} ${cell.endpoint} ${key(cell.factors, factor === 'http' ? ['http', 'streams', 'connections'] : [factor])}`;
        if (!groups.has(id)) groups.set(id, []);
        groups.get(id).push(cell);
      }
      for (const cells of groups.values()) {
        for (const from of cells) for (const to of cells) {
          const [a, b] = [from.factors[factor], to.factors[factor]];
          if (from === to || !before(factor, a, b)) continue;
          if (factor === 'http' && to.factors.connections * to.factors.streams !== from.factors.connections) continue;
          const streams = factor === 'http' ? ` (${to.factors.connections}×${to.factors.streams})` : '';
          const id = `${factor}|${level(factor, a)} → ${level(factor, b)}${streams}|${from.endpoint}`;
          if (!pairs.has(id)) pairs.set(id, []);
          pairs.get(id).push({ from, to });
        }
      }
    }
    return pairs;
  }
  const ORDER = { gzip: [false, true], keep_alive: [true, false], cache: ['none', 'memory', 'redis'], database: ['sqlite', 'postgres', 'mariadb'], proxy: ['none', 'nginx-untuned', 'nginx', 'nginx-gzip'], http: ['1', '2'] };
  const before = (factor, a, b) => (ORDER[factor] ? ORDER[factor].indexOf(a) < ORDER[factor].indexOf(b) : a < b);

  // As Welch's interval, with the degrees of freedom of the side that has fewer rounds: never narrower than his.
  function ratioOf(a, b) {
    const value = a.value / b.value;
    if (a.low == null || b.low == null) return { value, low: null, high: null, is_difference: false };
    const half = Math.hypot(Math.log(a.high / a.value), Math.log(b.high / b.value));
    const [low, high] = [value * Math.exp(-half), value * Math.exp(half)];
    return { value, low, high, is_difference: low > 1 || high < 1 };
  }

  function effect() {
    const pairs = effectPairs();
    if (pairs.size === 0) return el('p', { class: 'soft' }, t('nothing'));
    const names = [...new Set([...pairs.keys()].map((id) => id.split('|')[0]))];
    const own = state.effect;
    own.measure ??= 'requests_per_cpu_s';
    return chart(own, (chosen, refresh) => {
      const first = pick(chosen, 'factor', names.map((name) => [name, t(`factor.${name}`)]), t('factor'))(refresh);
      const options = [...pairs.keys()].filter((id) => id.startsWith(`${chosen.factor}|`)).map((id) => [id, `${id.split('|')[1]} · ${t(`endpoint.${id.split('|')[2]}`)}`]);
      return [first, pick(chosen, 'pair', options, t('change'))(refresh), pick(chosen, 'measure', ['requests_per_cpu_s', 'requests_per_s', 'p99_us', 'memory_mib'].map((name) => [name, t(`measure.${name}`)]), t('measure'))(refresh)];
    }, (chosen) => {
      const several = new Set(pairs.get(chosen.pair).map(({ to }) => key(to.factors))).size > 1;
      const rows = pairs.get(chosen.pair).filter(({ from, to }) => from.measures[chosen.measure] && to.measures[chosen.measure]).map(({ from, to }) => ({
        name: from.target,
        label: title(from.target) + (several ? ` · ${says(from.factors, from.endpoint).replace(/^$/, '')}`.slice(0, 40) : ''),
        ratio: ratioOf(to.measures[chosen.measure], from.measures[chosen.measure]),
      })).sort((a, b) => b.ratio.value - a.ratio.value);
      return effects(rows);
    });
  }

  function table(heads, rows) {
    return el('div', { class: 'wide' }, el('table', {}, el('thead', {}, el('tr', {}, heads.map(([text, kind]) => el('th', { class: kind }, text)))), el('tbody', {}, rows)));
  }
  const cell = (text, kind) => el('td', { class: kind }, text);

  function contract() {
    const clauses = ['health', 'compute', 'cache', 'token', 'read', 'list', 'create', 'gzip', 'http2', 'db', 'crowd'];
    const rows = data.contract.map((one) => el('tr', {}, cell(title(one.target)), cell(one.setting, 'long'), clauses.map((clause) => {
      const found = one.findings.find((finding) => finding.clause === clause);
      if (!found) return cell('–');
      return el('td', { class: found.broken ? 'broken' : 'kept', ...(found.broken ? tells(found.broken) : {}) }, found.broken ? '✗' : '✓');
    })));
    const broken = data.contract.flatMap((one) => one.findings.filter((finding) => finding.broken).map((finding) => el('li', {}, `${title(one.target)} · ${one.setting} · ${finding.clause}: ${finding.broken}`)));
    return [table([[t('target')], [t('setting')], ...clauses.map((clause) => [clause])], rows), broken.length > 0 ? el('ul', { class: 'small' }, broken) : null];
  }

  function raw() {
    const own = state.raw;
    return chart(own, (chosen, refresh) => [pick(chosen, 'endpoint', endpointOptions(), t('endpoint'))(refresh)], (chosen) => {
      const measures = ['requests_per_s', 'requests_per_cpu_s', 'cpu_us_per_request', 'p50_us', 'p99_us', 'memory_mib'];
      const rows = data.cells.filter((one) => one.endpoint === chosen.endpoint).map((one) => el('tr', {}, cell(title(one.target)), cell(says(one.factors, chosen.endpoint) || t('as_usual'), 'long'), measures.map((measure) => {
        const found = one.measures[measure];
        return el('td', { class: 'n', ...(found?.low == null ? {} : tells(`${shown(found.low, measure)} – ${shown(found.high, measure)} (95 %)`)) }, found ? shown(found.value, measure) : '–');
      })));
      return table([[t('target')], [t('how')], ...measures.map((measure) => [t(`measure.${measure}`), 'n'])], rows);
    });
  }

  /** "24684092 kB", as Linux says it. */
  const gib = (memory) => (/^\d+ kB$/.test(memory ?? '') ? `${number(parseInt(memory, 10) / 2 ** 20, 1)} GiB` : memory ?? '?');

  // The four questions.
  const sure = (ratio) => (ratio.low == null ? ` (${t('one_round')})` : ratio.is_difference ? ` (${range(ratio)})` : ` – ${t('no_difference')}`);
  function languagesAnswer() {
    const found = data.answers.languages;
    if (found.length === 0) return [t('not_measured'), []];
    const wins = found.filter((one) => one.ratio.value > 1 && one.ratio.is_difference);
    const loses = found.filter((one) => one.ratio.value < 1 && one.ratio.is_difference);
    const verdict = wins.length === found.length ? t('languages.all', { count: found.length }) : t('languages.some', { wins: wins.length, count: found.length, loses: loses.length });
    return [verdict, found.map((one) => t('languages.row', { endpoint: t(`endpoint.${one.endpoint}`), either: title(one.either), other: title(one.other), ratio: times(one.ratio) + sure(one.ratio) }))];
  }
  function cachingAnswer() {
    const found = data.answers.caching;
    if (found.length < 2) return [t('not_measured'), []];
    const none = found.find((one) => one.cache === 'none');
    const memory = found.find((one) => one.cache === 'memory') ?? found.at(-1);
    const verdict = !none ? t('not_measured') : memory.ratio.value < none.ratio.value / 2 ? t('caching.yes', { none: times(none.ratio), memory: times(memory.ratio) }) : t('caching.no', { none: times(none.ratio), memory: times(memory.ratio) });
    return [verdict, found.map((one) => t('caching.row', { cache: level('cache', one.cache), first: title(one.first), last: title(one.last), ratio: times(one.ratio), middle: times(one.to_middle), count: one.count }))];
  }
  function asyncAnswer() {
    const found = data.answers.async;
    if (found.length === 0) return [t('not_measured'), []];
    const [more, less] = [found.filter((one) => one.rate.is_difference && one.rate.value > 1), found.filter((one) => one.rate.is_difference && one.rate.value < 1)];
    const verdict = t('async.verdict', { count: found.length, more: more.length, less: less.length, even: found.length - more.length - less.length });
    const rows = found.map((one) => t('async.row', { language: one.language, async: title(one.async), other: title(one.other), endpoint: t(`endpoint.${one.endpoint}`), database: level('database', one.database), connections: one.connections, rate: times(one.rate) + sure(one.rate), cost: times(one.cost) }));
    return [verdict, rows];
  }
  function http2Answer() {
    const found = data.answers.http2;
    if (found.length === 0) return [t('not_measured'), []];
    const [more, less] = [found.filter((one) => one.rate.is_difference && one.rate.value > 1), found.filter((one) => one.rate.is_difference && one.rate.value < 1)];
    const verdict = t('http2.verdict', { count: found.length, more: more.length, less: less.length, even: found.length - more.length - less.length });
    return [verdict, found.map((one) => t('http2.row', { target: title(one.target), endpoint: t(`endpoint.${one.endpoint}`), connections: one.connections, streams: one.streams, rate: times(one.rate) + sure(one.rate), cost: times(one.cost) }))];
  }
  function answer(name, [verdict, rows]) {
    const few = rows.slice(0, 7);
    const rest = rows.slice(7);
    return el('div', { class: 'card' }, el('h3', {}, t(`question.${name}`)), el('p', { class: 'verdict' }, verdict), el('ul', { class: 'small' }, few.map((row) => el('li', {}, row))), rest.length > 0 ? el('details', { class: 'small' }, el('summary', {}, t('more', { count: rest.length })), el('ul', {}, rest.map((row) => el('li', {}, row)))) : null);
  }

  function ours() {
    const found = data.answers.ours;
    if (found.length === 0) return el('p', { class: 'soft' }, t('nothing'));
    const heads = [[t('endpoint')], ...[...new Set(found.flatMap((one) => one.all.map((other) => other.target)))].map((name) => [title(name), 'n'])];
    const names = [...new Set(found.flatMap((one) => one.all.map((other) => other.target)))];
    const rows = found.map((one) => el('tr', {}, cell(t(`endpoint.${one.endpoint}`)), names.map((name) => {
      const other = one.all.find((some) => some.target === name);
      if (!other) return cell('–', 'n');
      const behind = other.ratio.is_difference && other.ratio.value < 1;
      return el('td', { class: `n ${behind ? 'broken' : other.ratio.is_difference ? 'kept' : ''}`, ...tells(`${title(name)}: ${range(other.ratio)}`) }, other.ratio.is_difference ? times(other.ratio) : '≈');
    })));
    const behind = found.flatMap((one) => one.behind.map((other) => el('li', {}, t('ours.behind', { endpoint: t(`endpoint.${one.endpoint}`), target: title(other.target), ratio: times(other.ratio) + sure(other.ratio) }))));
    const notes = data.notes.map((note) => el('li', {}, note[language] ?? note.en));
    return el('div', { class: 'card' }, el('p', {}, behind.length === 0 ? t('ours.leads') : t('ours.not')), behind.length > 0 ? el('ul', {}, behind) : null, notes.length > 0 ? el('ul', {}, notes) : null, table(heads, rows));
  }

  const section = (id, ...children) => el('section', { id }, el('h2', {}, t(`section.${id}`)), t(`section.${id}.about`) === `section.${id}.about` ? null : el('p', { class: 'soft' }, t(`section.${id}.about`)), ...children);

  function page() {
    document.documentElement.lang = language;
    document.title = t('title');
    const setup = data.setups.at(-1) ?? {};
    const machine = setup.machine ?? {};
    const absent = data.targets.filter((one) => one.absent);
    const sections = ['methods', 'answers', 'endpoints', 'latency', 'memory', 'scaling', 'effect', 'ours', 'contract', 'missing', 'figures'];
    const nav = el('nav', {}, sections.map((id) => el('a', { href: `#${id}` }, t(`nav.${id}`))), el('span', { class: 'languages' }, ['en', 'ko'].map((code) => el('button', { 'aria-pressed': String(code === language), onclick: () => { language = code; page(); } }, code === 'en' ? 'English' : '한국어'))));
    const methods = t('methods.list').split('\n').map((line) => el('li', {}, line));
    const limits = t('limits.list').split('\n').map((line) => el('li', {}, line));
    document.getElementById('page').replaceChildren(
      el('header', { class: 'top' }, el('h1', {}, t('title')), el('p', { class: 'lead' }, t('lead', { targets: new Set(data.cells.map((one) => one.target)).size, cells: data.cells.length, rounds: data.plan.rounds, seconds: data.plan.seconds }))),
      nav,
      section('methods', el('ul', {}, methods), el('h3', {}, t('limits')), el('ul', {}, limits),
        el('p', { class: 'small soft' }, t('machine', { cores: machine.cores ?? '?', cpu: machine.cpu ?? '?', memory: gib(machine.memory), kernel: machine.kernel ?? '?', commit: (setup.git_commit ?? '?').slice(0, 12), when: setup.started_at ?? '?' })),
        el('details', { class: 'small' }, el('summary', {}, t('setup')), el('pre', {}, JSON.stringify(data.setups, null, 2)))),
      section('answers', el('div', { class: 'answers' }, answer('languages', languagesAnswer()), answer('caching', cachingAnswer()), answer('async', asyncAnswer()), answer('http2', http2Answer()))),
      section('endpoints', withEndpoint(state.bars, (cells, chosen) => bars(cells, chosen.measure), ['requests_per_cpu_s', 'requests_per_s', 'cpu_us_per_request', 'p50_us', 'p99_us', 'memory_mib'])),
      section('latency', withEndpoint(state.latency, percentiles, null, (one) => one.measures.p99_us)),
      section('memory', chart(state.start, (chosen, refresh) => [pick(chosen, 'measure', ['memory_mib', 'idle_mib', 'started_ms'].map((name) => [name, t(`measure.${name}`)]), t('measure'))(refresh)], (chosen) => bars((combinations(endpoints.includes('db') ? 'db' : endpoints[0])[0] ?? { cells: [] }).cells, chosen.measure))),
      section('scaling', scaling()),
      section('effect', effect()),
      section('ours', ours()),
      section('contract', ...contract()),
      section('missing',
        absent.length > 0 ? el('ul', {}, absent.map((one) => el('li', {}, `${one.title ?? one.name}: ${one.absent}`))) : el('p', {}, t('all_built')),
        data.missing.length > 0 ? el('details', {}, el('summary', {}, t('missing.cells', { count: data.missing.length })), table([[t('target')], [t('endpoint')], [t('how')], [t('why')]], data.missing.map((one) => el('tr', {}, cell(title(one.target)), cell(t(`endpoint.${one.endpoint}`)), cell(one.how), cell(one.why))))) : null),
      section('figures', raw(), el('h3', {}, t('who')), table([[t('target')], [t('language')], [t('version')], [t('waits')], [t('about')]], data.targets.map((one) => el('tr', {}, cell(one.title ?? one.name), cell(one.language ?? ''), cell(one.version ?? ''), cell(one.waits ? t(`waits.${one.waits}`) : ''), cell(one.about ?? ''))))),
      tip,
    );
  }
  page();
})();
