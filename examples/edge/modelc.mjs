// modelc.mjs -- a module of `modelc --target=wasm32` in Node.js or a browser page: one session, its entries by name, typed arrays in and
// out. The module imports nothing; this file reads the tables of mdl.h in its memory (pointers of 4 bytes, int64_t on 8).
//
//     const model = await modelOpen(bytes, {seed: 7});
//     const {probs} = model.call('predict', {x: new Float32Array(784)}, {batch: 1});      probs.data, probs.shape

const LAYOUT = {
    model: {entriesN: 120, valuesN: 124, entries: 132, values: 136, sizes: 140, open: 148, close: 152, call: 156, shape: 160, bytes: 164,
            get: 176, set: 180, reset: 184, error: 192},
    value: {name: 0, kind: 4, code: 8, bits: 9, rank: 12, bytes: 24},
    entry: {name: 0, sizesN: 8, inputsN: 12, outputsN: 16, sizes: 20, inputs: 24, outputs: 28, bytes: 36},
    size: {name: 0, bytes: 32},
    tensor: {data: 0, device: 4, rank: 12, dtype: 16, shape: 20, strides: 24, offset: 32, bytes: 40},
    options: {threads: 8, seed: 24, memory: 36, memoryBytes: 40, bytes: 64},
};
const TYPES = {'2.32': Float32Array, '2.64': Float64Array, '0.64': BigInt64Array, '0.32': Int32Array, '0.16': Int16Array, '0.8': Int8Array,
               '1.32': Uint32Array, '1.8': Uint8Array, '6.8': Uint8Array, '2.16': Uint16Array, '4.16': Uint16Array};
const RANK = 8;

class Model {
    constructor(instance) {
        this.wasm = instance.exports;
        this.top = Number(this.wasm.__heap_base.value);
        const name = Object.keys(this.wasm).find((k) => k.endsWith('_model'));
        this.at = this.wasm[name]();
        this.session = 0;
    }

    view() { return new DataView(this.wasm.memory.buffer); }
    word(at) { return this.view().getUint32(at, true); }
    text(at) {
        const bytes = new Uint8Array(this.wasm.memory.buffer);
        let end = at;
        while (bytes[end]) end++;
        return new TextDecoder().decode(bytes.slice(at, end));
    }
    method(name) { return this.wasm.__indirect_function_table.get(this.word(this.at + LAYOUT.model[name])); }

    // Memory above all that is in use; grows.
    take(bytes) {
        const at = Math.ceil(this.top / 64) * 64;
        this.top = at + bytes;
        const missing = this.top - this.wasm.memory.buffer.byteLength;
        if (missing > 0) this.wasm.memory.grow(Math.ceil(missing / 65536));
        new Uint8Array(this.wasm.memory.buffer, at, bytes).fill(0);
        return at;
    }

    failed(what) { return new Error(`${what}: ${this.text(this.method('error')(this.session))}`); }

    open({seed = 0, memoryBytes}) {
        const memory = this.take(memoryBytes), options = this.take(LAYOUT.options.bytes), place = this.take(4), v = this.view();
        v.setUint32(options, LAYOUT.options.bytes, true);
        v.setInt32(options + LAYOUT.options.threads, 1, true);
        v.setBigUint64(options + LAYOUT.options.seed, BigInt(seed), true);
        v.setUint32(options + LAYOUT.options.memory, memory, true);
        v.setUint32(options + LAYOUT.options.memoryBytes, memoryBytes, true);
        if (this.method('open')(place, options)) throw this.failed('open');
        this.session = this.word(place);
    }

    value(at) {
        const v = this.view(), type = `${v.getUint8(at + LAYOUT.value.code)}.${v.getUint8(at + LAYOUT.value.bits)}`;
        return {at, name: this.text(this.word(at)), kind: v.getInt32(at + LAYOUT.value.kind, true), rank: this.word(at + LAYOUT.value.rank),
                dtype: this.word(at + LAYOUT.value.code), array: TYPES[type]};
    }
    list(at, n, bytes) { return Array.from({length: n}, (_, i) => this.value(at + i * bytes)); }
    values() { return this.list(this.word(this.at + LAYOUT.model.values), this.word(this.at + LAYOUT.model.valuesN), LAYOUT.value.bytes); }

    entries() {
        const E = LAYOUT.entry, first = this.word(this.at + LAYOUT.model.entries), sizes = this.word(this.at + LAYOUT.model.sizes);
        return Array.from({length: this.word(this.at + LAYOUT.model.entriesN)}, (_, index) => {
            const at = first + index * E.bytes, own = this.word(at + E.sizes);
            const names = Array.from({length: this.word(at + E.sizesN)}, (_, i) => this.text(this.word(sizes + this.word(own + 4 * i) * LAYOUT.size.bytes)));
            return {index, name: this.text(this.word(at)), sizes: names,
                    inputs: this.list(this.word(at + E.inputs), this.word(at + E.inputsN), LAYOUT.value.bytes),
                    outputs: this.list(this.word(at + E.outputs), this.word(at + E.outputsN), LAYOUT.value.bytes)};
        });
    }

    // An mdl_tensor at `at` for a value; sizes: a place of int64_t, or 0.
    tensor(at, value, sizes) {
        const T = LAYOUT.tensor, shape = this.take(8 * RANK);
        if (this.method('shape')(value.at, sizes, shape)) throw new Error(`${value.name}: no shape`);
        const dims = Array.from({length: value.rank}, (_, i) => Number(this.view().getBigInt64(shape + 8 * i, true)));
        const count = dims.reduce((a, b) => a * b, 1), data = this.take(count * value.array.BYTES_PER_ELEMENT), v = this.view();
        v.setUint32(at + T.data, data, true);
        v.setInt32(at + T.device, 1, true);
        v.setInt32(at + T.rank, value.rank, true);
        v.setUint32(at + T.dtype, value.dtype, true);
        v.setUint32(at + T.shape, shape, true);
        return {shape: dims, count, array: value.array, place: data};
    }
    seen(t) { return {shape: t.shape, data: new t.array(this.wasm.memory.buffer, t.place, t.count).slice()}; }

    // Inputs by name, typed arrays; sizes by name. Results by name: {shape, data}.
    call(name, inputs, sizes = {}) {
        const top = this.top, entry = this.entries().find((e) => e.name === name);
        if (!entry) throw new Error(`there is no entry ${name}`);
        try {
            const given = this.take(8 * (entry.sizes.length + 1)), all = [...entry.inputs, ...entry.outputs];
            entry.sizes.forEach((n, i) => this.view().setBigInt64(given + 8 * i, BigInt(sizes[n]), true));
            const rows = this.take(LAYOUT.tensor.bytes * (all.length + 1));
            const tensors = all.map((value, i) => this.tensor(rows + i * LAYOUT.tensor.bytes, value, given));
            entry.inputs.forEach((value, i) => {
                const t = tensors[i], from = inputs[value.name];
                if (!from || from.length !== t.count) throw new Error(`${name}: ${value.name} wants ${t.count} elements`);
                new t.array(this.wasm.memory.buffer, t.place, t.count).set(from);
            });
            if (this.method('call')(this.session, entry.index, given, rows, rows + entry.inputs.length * LAYOUT.tensor.bytes)) throw this.failed(name);
            return Object.fromEntries(entry.outputs.map((value, i) => [value.name, this.seen(tensors[entry.inputs.length + i])]));
        } finally {
            this.top = top;
        }
    }

    // A copy of a parameter or state.
    get(value) {
        const top = this.top, row = this.take(LAYOUT.tensor.bytes), t = this.tensor(row, value, 0), text = new TextEncoder().encode(value.name);
        const name = this.take(text.length + 1);
        new Uint8Array(this.wasm.memory.buffer, name, text.length).set(text);
        const code = this.method('get')(this.session, name, row);
        this.top = top;
        if (code) throw this.failed(value.name);
        return this.seen(t);
    }
}

// bytes: of the .wasm file. memoryBytes: for the session and its calls.
export async function modelOpen(bytes, {seed = 0, memoryBytes = 64 << 20} = {}) {
    const model = new Model((await WebAssembly.instantiate(bytes, {})).instance);
    model.open({seed, memoryBytes});
    return model;
}
