// page.mjs -- what index.html does: a piece of clothing is drawn, or taken from a picture file, and mlp.wasm names it at every stroke.
// Nothing leaves the page. The functions that know no page are exported, too: tests/edge/page.test calls them in Node.js.
import {modelOpen} from './modelc.mjs';

export const KINDS = ['T-shirt', 'trouser', 'pullover', 'dress', 'coat', 'sandal', 'shirt', 'sneaker', 'bag', 'boot'];
export const SIDE = 28;

// The 28 x 28 greys, 0 to 255, of a square RGBA image: each the mean of the pixels that it stands for. The model saw white clothes on black.
export function greys(rgba, side) {
    const sum = new Float64Array(SIDE * SIDE), n = new Float64Array(SIDE * SIDE);
    for (let y = 0; y < side; y++) {
        for (let x = 0; x < side; x++) {
            const at = 4 * (y * side + x), to = Math.floor(y * SIDE / side) * SIDE + Math.floor(x * SIDE / side);
            sum[to] += (0.299 * rgba[at] + 0.587 * rgba[at + 1] + 0.114 * rgba[at + 2]) * rgba[at + 3] / 255;
            n[to]++;
        }
    }
    return Uint8Array.from(sum, (v, i) => Math.round(v / Math.max(1, n[i])));
}

// The kinds with their probabilities, the likeliest first.
export function classify(model, pixels) {
    const {probs} = model.call('predict', {x: pixels}, {batch: 1});
    return KINDS.map((name, i) => ({name, probability: probs.data[i]})).sort((a, b) => b.probability - a.probability);
}

export function sentence(kinds) {
    return kinds.slice(0, 3).map((k) => `${k.name} ${Math.round(100 * k.probability)} %`).join(', ');
}

// document: of the page; fetch: the browser's. Resolves when the model answers.
export async function pageStart(document, fetch) {
    const canvas = document.getElementById('drawing'), answer = document.getElementById('answer'), file = document.getElementById('file');
    const pen = canvas.getContext('2d', {willReadFrequently: true}), side = canvas.width;
    let model = null;

    function say() {
        if (model) answer.textContent = sentence(classify(model, greys(pen.getImageData(0, 0, side, side).data, side)));
    }
    function clear() {
        pen.fillStyle = 'black';
        pen.fillRect(0, 0, side, side);
        say();
    }
    function stroke(event) {
        if (!event.buttons) return;
        const scale = side / canvas.clientWidth, r = side / 16;
        pen.fillStyle = 'white';
        pen.beginPath();
        pen.arc(event.offsetX * scale, event.offsetY * scale, r, 0, 2 * Math.PI);
        pen.fill();
        say();
    }
    canvas.addEventListener('pointerdown', stroke);
    canvas.addEventListener('pointermove', stroke);
    document.getElementById('clear').addEventListener('click', clear);
    file.addEventListener('change', async () => {
        pen.drawImage(await createImageBitmap(file.files[0]), 0, 0, side, side);
        say();
    });
    try {
        const response = await fetch('mlp.wasm');
        if (!response.ok) throw new Error(`mlp.wasm: ${response.status} ${response.statusText}`);
        model = await modelOpen(await response.arrayBuffer(), {memoryBytes: 4 << 20});
        clear();
    } catch (fault) {
        answer.textContent = String(fault.message);
    }
}
