// call.mjs -- what call.c does, of a module of WebAssembly:    node call.mjs MODEL.wasm ENTRY:SIZE,SIZE:TIMES... >FILE
import {readFileSync} from 'node:fs';

const {modelOpen} = await import(`${process.env.ROOT}/examples/edge/modelc.mjs`);
const MOST = 8192, LARGEST = 1 << 18, PARAM = 3;
let state = 12345;
const next = () => state = (Math.imul(state, 1664525) + 1013904223) >>> 0;

function element(array) {
    const v = next();
    if (array === Float32Array || array === Float64Array) return Math.fround(Math.fround((v >>> 8) / 8388608) - 1);
    if (array === BigInt64Array) return BigInt((v >>> 16) % 10);
    return (v >>> 16) % 10;
}

const lines = [];
function print(name, {data}, most) {
    for (let i = 0; i < data.length && i < most; i++) lines.push(`${name}[${i}] ${Number(data[i])}`);
}

const model = await modelOpen(readFileSync(process.argv[2]), {seed: 7, memoryBytes: 96 << 20});
for (const text of process.argv.slice(3)) {
    const [name, given = '', times = '1'] = text.split(':');
    const entry = model.entries().find((e) => e.name === name);
    const sizes = Object.fromEntries(given.split(',').filter((v) => v).map((v, i) => [entry.sizes[i], Number(v)]));
    for (let k = 0; k < Number(times); k++) {
        const inputs = Object.fromEntries(entry.inputs.map((v) => {
            const a = new v.array(count(v, entry, sizes));
            for (let i = 0; i < a.length; i++) a[i] = element(v.array);
            return [v.name, a];
        }));
        const results = model.call(name, inputs, sizes);
        for (const [result, tensor] of Object.entries(results)) print(result, tensor, MOST);
    }
}

// Elements of an input for these sizes.
function count(value, entry, sizes) {
    const top = model.top, given = model.take(8 * (entry.sizes.length + 1));
    entry.sizes.forEach((n, i) => model.view().setBigInt64(given + 8 * i, BigInt(sizes[n]), true));
    const n = model.tensor(model.take(40), value, given).count;
    model.top = top;
    return n;
}

for (const value of model.values()) {
    if (value.kind !== PARAM) continue;
    const tensor = model.get(value);
    if (tensor.data.length <= LARGEST) print(value.name, tensor, 64);
}
console.log(lines.join('\n'));
