'use strict';

// The map of a report: panes of pictures at several sizes over one another, moved together.
(() => {
  const view = JSON.parse(document.getElementById('view').textContent);
  const find = (id) => document.getElementById(id);
  const stage = find('stage');
  const PNG = 'data:image/png;base64,';
  const DIMMED = 30; // of 255: the opacity of classes that are not singled out
  const STEP = 1.5; // a zoom by a key or button
  const SHIFT = 0.2; // of the stage: a move by a key
  const LEAST = 32; // screen pixels that the narrower side of the map has at first
  const MOST = 24; // screen pixels to a pixel of the map, unless all of it is larger

  const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
  const percent = (input) => Number(input.value);

  const state = {
    scale: 1, // screen pixels to the width of a pixel of the map
    x: view.width / 2, // the column and row in the middle of the stage
    y: view.height / 2,
    size: { width: 0, height: 0 },
    singled: new Set(),
  };

  // Sizes.

  const wholeScale = () =>
    Math.min(state.size.width / view.width, state.size.height / (view.height * view.aspect));
  const mostScale = () => Math.max(MOST, 4 * wholeScale());
  // The whole map, or a part of one that is hardly more than a line.
  const firstScale = () => {
    const side = Math.min(view.width, view.height * view.aspect);
    return clamp(LEAST / side, wholeScale(), mostScale());
  };
  const isWhole = () => state.scale <= wholeScale() * 1.001;

  const toMap = (left, top) => ({
    x: state.x + (left - state.size.width / 2) / state.scale,
    y: state.y + (top - state.size.height / 2) / (state.scale * view.aspect),
  });

  // Tiles.

  class Pane {
    constructor(name) {
      this.name = name;
      this.element = find(`pane-${name}`);
      this.levels = view.layers[name].map((level, k) => {
        const box = document.createElement('div');
        box.style.width = `${level.width}px`;
        box.style.height = `${level.height}px`;
        this.element.append(box);
        const tiles = k ? level.tiles : [find(`picture-${name}`).src];
        return { ...level, tiles, box, images: new Map() };
      });
      this.shown = 0;
      this.recolored = (source) => source;
    }

    recolor(recolored) {
      this.recolored = recolored;
      for (const level of this.levels) {
        for (const [k, image] of level.images) image.src = recolored(level.tiles[k]);
      }
    }

    // The coarsest level that has a pixel for each of the screen's.
    wanted() {
      const density = Math.min(window.devicePixelRatio || 1, 2);
      const needed = view.width * state.scale * density;
      const found = this.levels.findIndex((level) => level.width >= needed);
      return found < 0 ? this.levels.length - 1 : found;
    }

    place(wanted) {
      const { size, scale } = state;
      const left = size.width / 2 - state.x * scale;
      const top = size.height / 2 - state.y * scale * view.aspect;
      for (const [k, level] of this.levels.entries()) {
        const across = (view.width * scale) / level.width;
        const down = (view.height * scale * view.aspect) / level.height;
        level.box.style.transform = `translate(${left}px, ${top}px) scale(${across}, ${down})`;
        level.box.style.setProperty('--seam', `${0.6 / across}px`);
        if (k === wanted) this.element.classList.toggle('crisp', across > 1.01);
      }
    }

    async draw() {
      const wanted = this.wanted();
      this.place(wanted);
      const level = this.levels[wanted];
      const added = this.fill(level);
      this.asked = wanted;
      // What was shown stays until all of what takes its place can be.
      await Promise.all(added.map((image) => image.decode().catch(() => {})));
      if (this.asked !== wanted) return;
      this.shown = wanted;
      for (const one of this.levels) one.box.hidden = one !== level;
    }

    // Adds the tiles that are in sight and not there yet.
    fill(level) {
      const from = toMap(0, 0);
      const to = toMap(state.size.width, state.size.height);
      const columns = Math.ceil(level.width / level.tile);
      const rows = Math.ceil(level.height / level.tile);
      const across = level.width / view.width / level.tile;
      const down = level.height / view.height / level.tile;
      const range = (first, last, count) => [
        clamp(Math.floor(first), 0, count - 1),
        clamp(Math.floor(last), 0, count - 1),
      ];
      const [west, east] = range(from.x * across, to.x * across, columns);
      const [north, south] = range(from.y * down, to.y * down, rows);
      const added = [];
      for (let row = north; row <= south; row += 1) {
        for (let column = west; column <= east; column += 1) {
          const k = row * columns + column;
          if (level.images.has(k)) continue;
          const image = new Image();
          image.alt = '';
          image.draggable = false;
          image.src = this.recolored(level.tiles[k]);
          // A hair larger, so that nothing shines through where two tiles meet.
          const width = Math.min(level.tile, level.width - column * level.tile);
          const height = Math.min(level.tile, level.height - row * level.tile);
          image.style.width = `calc(${width}px + var(--seam))`;
          image.style.height = `calc(${height}px + var(--seam))`;
          image.style.left = `${column * level.tile}px`;
          image.style.top = `${row * level.tile}px`;
          level.images.set(k, image);
          level.box.append(image);
          added.push(image);
        }
      }
      return added;
    }

    // The picture and its pixel at a place of the map, if it is there.
    at(x, y) {
      const level = this.levels[this.shown];
      const column = Math.floor((x * level.width) / view.width);
      const row = Math.floor((y * level.height) / view.height);
      const across = Math.floor(column / level.tile);
      const down = Math.floor(row / level.tile);
      const k = down * Math.ceil(level.width / level.tile) + across;
      const image = level.images.get(k);
      return image && { image, x: column - across * level.tile, y: row - down * level.tile };
    }
  }

  const panes = Object.keys(view.layers).map((name) => new Pane(name));
  const mapPane = panes.find((pane) => pane.name === 'map');

  // Classes that are singled out: the palette of the PNGs makes all others fainter.

  const CRC = Uint32Array.from({ length: 256 }, (_, start) => {
    let value = start;
    for (let bit = 0; bit < 8; bit += 1) {
      value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    }
    return value;
  });

  const checksum = (bytes) => {
    let value = 0xffffffff;
    for (const byte of bytes) value = CRC[(value ^ byte) & 255] ^ (value >>> 8);
    return (value ^ 0xffffffff) >>> 0;
  };

  const singledOut = (source) => {
    if (!state.singled.size) return source;
    const bytes = Uint8Array.from(atob(source.slice(PNG.length)), (one) => one.charCodeAt(0));
    const words = new DataView(bytes.buffer);
    for (let at = 8; at < bytes.length; at += 12 + words.getUint32(at)) {
      const length = words.getUint32(at);
      if (String.fromCharCode(...bytes.subarray(at + 4, at + 8)) !== 'tRNS') continue;
      for (let k = 0; k < view.classes.length; k += 1) {
        if (!state.singled.has(k)) bytes[at + 8 + k] = DIMMED;
      }
      words.setUint32(at + 8 + length, checksum(bytes.subarray(at + 4, at + 8 + length)));
      break;
    }
    let text = '';
    for (let at = 0; at < bytes.length; at += 32768) {
      text += String.fromCharCode(...bytes.subarray(at, at + 32768));
    }
    return PNG + btoa(text);
  };

  // What is under a place.

  const probe = document.createElement('canvas');
  probe.width = probe.height = 1;
  const brush = probe.getContext('2d', { willReadFrequently: true });

  const classAt = (x, y) => {
    const found = mapPane.at(x, y);
    if (!found || !found.image.complete) return '';
    brush.clearRect(0, 0, 1, 1);
    brush.drawImage(found.image, found.x, found.y, 1, 1, 0, 0, 1, 1);
    const [red, green, blue, alpha] = brush.getImageData(0, 0, 1, 1).data;
    if (!alpha) return 'no data';
    // A faint pixel has lost digits of its colour: the nearest one it is.
    const distance = ({ rgb }) =>
      Math.abs(rgb[0] - red) + Math.abs(rgb[1] - green) + Math.abs(rgb[2] - blue);
    const nearest = Math.min(...view.classes.map(distance));
    const names = view.classes.filter((one) => distance(one) === nearest).map((one) => one.name);
    return names.length > 3 ? '' : names.join(' or ');
  };

  const describe = ({ x, y }) => {
    if (x < 0 || y < 0 || x >= view.width || y >= view.height) return '';
    let where = `column ${Math.floor(x)}, row ${Math.floor(y)}`;
    if (view.place) {
      const [a, b, c, d, e, f] = view.place;
      const easting = (a * x + b * y + c).toFixed(view.digits);
      const northing = (d * x + e * y + f).toFixed(view.digits);
      where = `${easting}, ${northing} (${view.crs})`;
    }
    const name = classAt(x, y);
    return name ? `${name} · ${where}` : where;
  };

  let saying;
  const say = (text) => {
    clearTimeout(saying);
    saying = setTimeout(() => {
      find('said').textContent = text;
    }, 350);
  };

  // The scale bar.

  const length = (metres) => {
    if (metres >= 1000) return `${(metres / 1000).toLocaleString('en')} km`;
    if (metres >= 1) return `${metres.toLocaleString('en')} m`;
    return `${(metres * 100).toLocaleString('en')} cm`;
  };

  const drawScale = () => {
    const unit = view.pixel || 1;
    const room = (130 * unit) / state.scale;
    const power = 10 ** Math.floor(Math.log10(room));
    const size = [5, 2, 1].find((digit) => digit * power <= room) * power;
    find('bar').style.width = `${(size * state.scale) / unit}px`;
    const pixels = `${size.toLocaleString('en', { maximumSignificantDigits: 2 })} px`;
    find('bar-text').textContent = view.pixel ? length(size) : pixels;
  };

  // Drawing, once a frame at most.

  let isDue = false;
  const draw = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      for (const pane of panes) pane.draw();
      const lines = find('outlines');
      if (lines) {
        const left = state.size.width / 2 - state.x * state.scale;
        const top = state.size.height / 2 - state.y * state.scale * view.aspect;
        const across = state.scale * view.outline;
        const place = `translate(${left} ${top}) scale(${across} ${across * view.aspect})`;
        lines.setAttribute('transform', place);
      }
      drawScale();
      stage.style.touchAction = isWhole() ? 'pan-y' : 'none';
      // Not `disabled`, which would take the focus away from who presses them.
      find('zoom-out').ariaDisabled = String(isWhole());
      find('zoom-in').ariaDisabled = String(state.scale >= mostScale() * 0.999);
    });
  };

  const settle = () => {
    state.scale = clamp(state.scale, wholeScale(), mostScale());
    const across = state.size.width / state.scale / 2;
    const down = state.size.height / (state.scale * view.aspect) / 2;
    const within = (value, half, whole) =>
      2 * half >= whole ? whole / 2 : clamp(value, half, whole - half);
    state.x = within(state.x, across, view.width);
    state.y = within(state.y, down, view.height);
    draw();
  };

  const zoom = (factor, left = state.size.width / 2, top = state.size.height / 2) => {
    const fixed = toMap(left, top);
    state.scale = clamp(state.scale * factor, wholeScale(), mostScale());
    state.x = fixed.x - (left - state.size.width / 2) / state.scale;
    state.y = fixed.y - (top - state.size.height / 2) / (state.scale * view.aspect);
    settle();
  };

  const move = (across, down) => {
    state.x += across / state.scale;
    state.y += down / (state.scale * view.aspect);
    settle();
  };

  const showAll = () => {
    state.scale = wholeScale();
    settle();
  };

  const sayWhere = () => {
    const times = (state.scale / wholeScale()).toLocaleString('en', { maximumFractionDigits: 1 });
    say(`Zoom ${times} times. In the middle: ${describe(state)}`);
  };

  // Keys and buttons.

  const keys = {
    ArrowLeft: () => move(-SHIFT * state.size.width, 0),
    ArrowRight: () => move(SHIFT * state.size.width, 0),
    ArrowUp: () => move(0, -SHIFT * state.size.height),
    ArrowDown: () => move(0, SHIFT * state.size.height),
    '+': () => zoom(STEP),
    '=': () => zoom(STEP),
    '-': () => zoom(1 / STEP),
    0: showAll,
  };

  stage.addEventListener('keydown', (event) => {
    const act = keys[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
    sayWhere();
  });

  const buttons = { 'zoom-in': keys['+'], 'zoom-out': keys['-'], 'zoom-all': showAll };
  for (const [id, act] of Object.entries(buttons)) {
    find(id).addEventListener('click', () => {
      act();
      sayWhere();
    });
  }

  // Wheel, mouse, fingers.

  const offset = (event) => {
    const box = stage.getBoundingClientRect();
    return [event.clientX - box.left - stage.clientLeft, event.clientY - box.top - stage.clientTop];
  };

  stage.addEventListener(
    'wheel',
    (event) => {
      // At the ends the page scrolls on.
      if (event.deltaY > 0 ? isWhole() : state.scale >= mostScale() * 0.999) return;
      event.preventDefault();
      const pixels = event.deltaMode === WheelEvent.DOM_DELTA_PIXEL ? 1 : 24;
      zoom(Math.exp(clamp(-event.deltaY * pixels * 0.002, -0.7, 0.7)), ...offset(event));
    },
    { passive: false },
  );

  const fingers = new Map();

  stage.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, offset(event));
    stage.classList.add('dragged');
  });

  stage.addEventListener('pointermove', (event) => {
    const [left, top] = offset(event);
    find('place').textContent = describe(toMap(left, top));
    const before = fingers.get(event.pointerId);
    if (!before) return;
    const others = [...fingers].filter(([id]) => id !== event.pointerId);
    if (others.length === 1) {
      const [x, y] = others[0][1];
      const was = Math.hypot(before[0] - x, before[1] - y);
      const is = Math.hypot(left - x, top - y);
      if (was > 0) zoom(is / was, (left + x) / 2, (top + y) / 2);
      move((before[0] - left) / 2, (before[1] - top) / 2);
    } else if (!others.length) {
      move(before[0] - left, before[1] - top);
    }
    fingers.set(event.pointerId, [left, top]);
  });

  const release = (event) => {
    fingers.delete(event.pointerId);
    if (!fingers.size) stage.classList.remove('dragged');
  };
  for (const name of ['pointerup', 'pointercancel', 'lostpointercapture']) {
    stage.addEventListener(name, release);
  }
  stage.addEventListener('pointerleave', () => {
    if (!fingers.size) find('place').textContent = '';
  });
  stage.addEventListener('dblclick', (event) => zoom(2, ...offset(event)));

  // Swipe, opacity, layers.

  const swipe = find('swipe');
  const handle = find('handle');
  const opacity = find('opacity');
  const checks = { map: 'show-map', confidence: 'show-confidence', outlines: 'show-outlines' };

  const dress = () => {
    const share = swipe ? percent(swipe) : 0;
    for (const [name, id] of Object.entries(checks)) {
      const pane = find(`pane-${name}`);
      if (!pane) continue;
      pane.style.visibility = find(id).checked ? 'visible' : 'hidden';
      if (name === 'outlines') continue;
      pane.style.clipPath = `inset(0 0 0 ${share}%)`;
      pane.style.opacity = percent(opacity) / 100;
    }
    find('opacity-value').textContent = `${opacity.value} %`;
    if (swipe) {
      find('swipe-value').textContent = `${swipe.value} %`;
      handle.style.left = `${share}%`;
    }
  };

  for (const id of ['swipe', 'opacity', ...Object.values(checks)]) {
    find(id)?.addEventListener('input', dress);
  }

  handle?.addEventListener('pointerdown', (event) => {
    event.stopPropagation();
    handle.setPointerCapture(event.pointerId);
  });
  handle?.addEventListener('dblclick', (event) => event.stopPropagation());
  handle?.addEventListener('pointermove', (event) => {
    event.stopPropagation();
    if (!handle.hasPointerCapture(event.pointerId)) return;
    swipe.value = (100 * offset(event)[0]) / state.size.width;
    dress();
  });

  // The legend.

  const entries = [...document.querySelectorAll('.legend button')];
  const single = () => {
    for (const one of entries) {
      one.setAttribute('aria-pressed', String(state.singled.has(Number(one.dataset.class))));
    }
    find('all').disabled = !state.singled.size;
    mapPane.recolor(singledOut);
    const names = [...state.singled].map((k) => view.classes[k].name);
    say(names.length ? `Singled out: ${names.join(', ')}` : 'All classes are shown');
  };
  for (const one of entries) {
    one.addEventListener('click', () => {
      const k = Number(one.dataset.class);
      if (!state.singled.delete(k)) state.singled.add(k);
      single();
    });
  }
  find('all')?.addEventListener('click', () => {
    state.singled.clear();
    single();
    entries[0].focus();
  });

  // Tables are stops of the Tab key where there is something to scroll.

  const tables = new ResizeObserver((changes) => {
    for (const { target } of changes) {
      target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
    }
  });
  for (const one of document.querySelectorAll('.scroll')) tables.observe(one);

  // Begin.

  document.documentElement.classList.add('scripted');
  find('viewer').hidden = false;
  let isFirst = true;
  new ResizeObserver(() => {
    const wasWhole = isWhole();
    state.size = { width: stage.clientWidth, height: stage.clientHeight };
    if (!state.size.width) return; // on paper
    if (isFirst) state.scale = firstScale();
    else if (wasWhole) state.scale = wholeScale();
    isFirst = false;
    settle();
  }).observe(stage);
  dress();
})();
