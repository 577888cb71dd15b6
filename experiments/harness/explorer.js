"use strict";
// The latent explorer: decodes in the browser with the weights that the page holds in #explorer-data.
(() => {
  const $ = (id) => document.getElementById(id);
  const make = (tag, parts, ...inside) => {
    const made = Object.assign(document.createElement(tag), parts);
    return made.append(...inside), made;
  };
  const [FRAMES, PERIOD] = [9, 5000]; // of a row of the strip; ms, there and back again
  const COLOURS = "#4269d0 #d08a00 #e5533d #2f9e8f #3c8f3c #e0599a #9357e0 #5b9bd8 #96694c #808893".split(" ");
  const buffer = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
  const models = JSON.parse($("explorer-data").textContent).models.map((model) => ({
    ...model,
    layers: model.layers.map((layer) => ({
      weights: new Int16Array(buffer(layer.weights)),
      steps: new Float32Array(buffer(layer.steps)),
      biases: new Float32Array(buffer(layer.biases)),
    })),
  }));
  const [plane, size] = [$("plane"), $("plane").width];
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  let model, z, digit, across, up, sliders, rows, backdrop;
  let [playing, waiting, seen, phase, last] = [false, 0, true, 0, 0];

  // The network: rows of weights in whole steps, ReLU between the layers.
  function decode(latents) {
    let input = Float32Array.from([...latents, ...Array(model.classes).fill(0)]);
    if (model.classes) input[model.latents + digit] = 1;
    model.layers.forEach(({ weights, steps, biases }, depth) => {
      const [width, output] = [biases.length, new Float32Array(biases.length)];
      for (let i = 0; i < input.length; i++) {
        if (input[i] === 0) continue;
        for (let j = 0, k = i * width; j < width; j++, k++) output[j] += input[i] * weights[k];
      }
      const least = depth < model.layers.length - 1 ? 0 : -Infinity;
      input = output.map((sum, j) => Math.max(least, sum * steps[j] + biases[j]));
    });
    return input;
  }

  function paint(canvas, latents, left = 0) {
    const [context, [height, width]] = [canvas.getContext("2d"), model.shape];
    const image = context.createImageData(width, height); // its entries are rounded, and clipped to 0 ... 255
    decode(latents).forEach((value, i) => image.data.set([255 * value, 255 * value, 255 * value, 255], 4 * i));
    context.putImageData(image, left, 0);
  }

  const pixel = (value) => ((value / model.reach + 1) / 2) * size;
  const shown = (value) => (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
  // What stands on the plane: axes, the codes of test images by digit, and each digit at the centre of its codes.
  function background() {
    backdrop = make("canvas", { width: size, height: size });
    const [context, ink] = [backdrop.getContext("2d"), getComputedStyle(plane)];
    const set = (parts) => Object.assign(context, parts);
    set({ font: "26px system-ui, sans-serif", fillStyle: ink.color, strokeStyle: ink.borderTopColor, lineWidth: 2 });
    for (let tick = 1 - model.reach; tick < model.reach; tick++) {
      const at = pixel(tick);
      context.strokeRect(at, -9, size, 2 * size);
      context.strokeRect(-9, at, 2 * size, size);
      context.fillText(String(tick).replace("-", "−"), at + 5, size - 7);
      if (tick) context.fillText(String(-tick).replace("-", "−"), 5, at - 5);
    }
    context.fillText(`z${across + 1} →`, size - 72, size - 7);
    context.fillText(`↑ z${up + 1}`, 5, 28);
    const sums = COLOURS.map(() => [0, 0, 0]);
    model.codes.forEach((code, i) => {
      const label = model.labels[i];
      const [x, y] = [pixel(code[across]), size - pixel(code[up])];
      sums[label] = [sums[label][0] + x, sums[label][1] + y, sums[label][2] + 1];
      set({ globalAlpha: model.classes && label !== digit ? 0.08 : 0.65, fillStyle: COLOURS[label] });
      context.beginPath();
      context.arc(x, y, 5, 0, 7);
      context.fill();
    });
    set({ globalAlpha: 1, font: "700 40px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
    set({ strokeStyle: ink.backgroundColor, lineWidth: 8 });
    sums.forEach(([x, y, count], label) => {
      if (model.classes || !count) return;
      context.strokeText(label, x / count, y / count);
      set({ fillStyle: COLOURS[label] }).fillText(label, x / count, y / count);
    });
  }

  function draw() {
    waiting = 0;
    const [context, x, y] = [plane.getContext("2d"), pixel(z[across]), size - pixel(z[up])];
    context.clearRect(0, 0, size, size);
    context.drawImage(backdrop, 0, 0);
    const { color, backgroundColor } = getComputedStyle(plane);
    for (const [strokeStyle, lineWidth] of [[backgroundColor, 9], [color, 4]]) {
      Object.assign(context, { strokeStyle, lineWidth }).beginPath();
      context.arc(x, y, 15, 0, 7);
      context.stroke();
    }
    paint($("image"), z);
    sliders.forEach(({ slider, value }, i) => ([slider.value, value.value] = [z[i], shown(z[i])]));
    $("image").ariaLabel = `Decoded image at z = (${z.map(shown).join(", ")})`;
    rows.forEach(({ frames }, i) => {
      const width = model.shape[1] + 1;
      for (let n = 0; n < FRAMES; n++) paint(frames, z.with(i, model.reach * ((2 * n) / (FRAMES - 1) - 1)), n * width);
    });
    move();
  }

  // The strip at the current moment: each latent on its way from one end to the other.
  function move() {
    const value = Math.sin(2 * Math.PI * phase);
    rows.forEach(({ now, mark }, i) => {
      paint(now, z.with(i, model.reach * value));
      mark.style.left = `${((value + 1) / 2) * 100 * (1 - 1 / FRAMES) + 50 / FRAMES}%`;
    });
  }

  function tick(time) {
    if (!playing) return;
    requestAnimationFrame(tick);
    if (!seen || time - last < 40) return;
    [phase, last] = [(phase + Math.min(time - last, 100) / PERIOD) % 1, time];
    move();
  }

  function play(on) {
    if (on && !playing) requestAnimationFrame(tick);
    playing = on;
    $("play").textContent = on ? "Pause" : "Play";
  }

  function update(fresh = false) {
    if (fresh) background();
    waiting ||= requestAnimationFrame(draw);
  }

  const inside = (value) => Math.max(-model.reach, Math.min(model.reach, value));

  function go(x, y) {
    [z[across], z[up]] = [inside(x), inside(y)];
    update();
  }

  function choose(index) {
    model = models[index];
    [z, digit, across, up] = [model.codes[0].map(inside), model.classes ? model.labels[0] : 0, 0, 1];
    const names = z.map((_, i) => `z${i + 1}`);
    const [height, width] = model.shape;
    Object.assign($("image"), { width, height });
    $("given").hidden = !model.classes;
    for (const axis of document.querySelectorAll(".axis")) axis.hidden = model.latents < 3;
    $("digit").replaceChildren(...Array.from({ length: model.classes }, (_, i) => new Option(i, i)));
    for (const id of ["across", "up"]) $(id).replaceChildren(...names.map((name, i) => new Option(name, i)));
    [$("up").value, $("digit").value] = [up, digit];
    sliders = names.map((name, i) => {
      const slider = make("input", { type: "range", min: -model.reach, max: model.reach, step: 0.01 });
      const value = make("output");
      slider.oninput = () => (z[i] = Number(slider.value), update());
      return { slider, value, row: make("label", {}, make("span", { textContent: name }), slider, value) };
    });
    $("sliders").replaceChildren(...sliders.map(({ row }) => row));
    rows = names.map((name) => {
      const now = make("canvas", { width, height, ariaLabel: `${name} moving`, role: "img" });
      const ariaLabel = `${name} from −${model.reach} to ${model.reach}`;
      const frames = make("canvas", { width: FRAMES * (width + 1) - 1, height, role: "img", ariaLabel });
      const mark = make("i");
      const row = make("li", {}, make("span", { textContent: name }), now, make("div", {}, frames, mark));
      return { now, frames, mark, row };
    });
    $("strip").replaceChildren(...rows.map(({ row }) => row));
    const most = model.difference.toPrecision(2);
    $("exact").textContent = `Weights have two bytes: the largest change of a pixel found is ${most}.`;
    update(true);
  }

  const follow = (event) => {
    const box = plane.getBoundingClientRect();
    const shares = [(event.clientX - box.left) / box.width, (box.bottom - event.clientY) / box.height];
    go(...shares.map((share) => (2 * share - 1) * model.reach));
  };
  plane.onpointerdown = plane.onpointermove = follow;
  plane.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!way) return;
    event.preventDefault(); // the page does not scroll
    const [x, y] = way.map((part) => part * (event.shiftKey ? 0.5 : 0.1));
    go(z[across] + x, z[up] + y);
  });
  $("model").replaceChildren(...models.map(({ name }, i) => new Option(name, i)));
  $("model").onchange = () => choose($("model").value);
  const chosen = [$("digit"), $("across"), $("up")];
  for (const select of chosen)
    select.onchange = () => (([digit, across, up] = chosen.map(({ value }) => Number(value))), update(true));
  $("centre").onclick = () => (z.fill(0), update());
  const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  $("draw").onclick = () => ((z = z.map(() => inside(normal()))), update());
  $("play").onclick = () => play(!playing);
  calm.addEventListener("change", () => play(!calm.matches));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => update(true));
  new IntersectionObserver((entries) => (seen = entries.at(-1).isIntersecting)).observe($("strip"));
  choose(0);
  play(!calm.matches);
})();
