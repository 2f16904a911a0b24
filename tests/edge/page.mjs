// page.mjs -- examples/edge/page.mjs on a page of our own making: strokes are pixels in an array, the answer is printed.
//     node page.mjs FOLDER          with mlp.wasm and picture.raw (28 x 28 greys)
import {readFileSync} from 'node:fs';

const {pageStart, classify, greys, sentence} = await import(`${process.env.ROOT}/examples/edge/page.mjs`);
const {modelOpen} = await import(`${process.env.ROOT}/examples/edge/modelc.mjs`);
const folder = process.argv[2], SIDE = 56;

// A document of the elements of index.html; what a script asks for that is not there is a fault.
const ids = [...readFileSync(`${process.env.ROOT}/examples/edge/index.html`, 'utf8').matchAll(/ id="(\w+)"/g)].map((m) => m[1]);
const image = new Uint8ClampedArray(4 * SIDE * SIDE);
const set = (x, y, v) => x >= 0 && y >= 0 && x < SIDE && y < SIDE && image.set([v, v, v, 255], 4 * (y * SIDE + x));
const dots = [];
const pen = {
    fillRect: () => { for (let i = 0; i < SIDE * SIDE; i++) set(i % SIDE, Math.floor(i / SIDE), 0); },
    beginPath: () => { dots.length = 0; },
    arc: (x, y, r) => dots.push([x, y, r]),
    fill: () => { for (const [x, y, r] of dots) for (let i = 0; i < SIDE * SIDE; i++) if (Math.hypot(i % SIDE - x, Math.floor(i / SIDE) - y) <= r) set(i % SIDE, Math.floor(i / SIDE), 255); },
    getImageData: () => ({data: image}),
};
const elements = Object.fromEntries(ids.map((id) => [id, {
    handlers: {}, width: SIDE, clientWidth: SIDE, textContent: '', addEventListener(name, f) { this.handlers[name] = f; }, getContext: () => pen,
}]));
const document = {getElementById: (id) => elements[id]};
const answer = () => elements.answer.textContent;

await pageStart(document, async () => ({ok: false, status: 404, statusText: 'Not Found'}));
console.log(answer());
await pageStart(document, async (path) => ({ok: true, arrayBuffer: async () => readFileSync(`${folder}/${path}`)}));
const empty = answer();
for (let i = 8; i < 48; i += 2) elements.drawing.handlers.pointermove({buttons: 1, offsetX: 28, offsetY: i});
const drawn = answer();
elements.drawing.handlers.pointermove({buttons: 0, offsetX: 5, offsetY: 5});
console.log(empty !== drawn, drawn === answer(), image.some((v, i) => i % 4 < 3 && v === 255));
elements.clear.handlers.click();
console.log(answer() === empty, /^[a-zT-]+ \d+ %, [a-zT-]+ \d+ %, [a-zT-]+ \d+ %$/.test(empty));

// The same picture as mdlrun gets, drawn at twice its size.
const pixels = readFileSync(`${folder}/picture.raw`), twice = new Uint8ClampedArray(4 * SIDE * SIDE);
for (let i = 0; i < SIDE * SIDE; i++) twice.fill(pixels[(i / SIDE >> 1) * 28 + (i % SIDE >> 1)], 4 * i, 4 * i + 3).fill(255, 4 * i + 3, 4 * i + 4);
const model = await modelOpen(readFileSync(`${folder}/mlp.wasm`), {memoryBytes: 4 << 20});
const same = greys(twice, SIDE).every((v, i) => v === pixels[i]);
console.log(same, sentence(classify(model, greys(twice, SIDE))).split(' ')[0]);
