"""contestants.py -- one contestant with one workload, in a process of its own, so that thread pools and memory are its own. It answers
requests of run.py, a JSON object a line:

    {"do": "open", "threads": 2}    the model is made ready and called once; its results go to the file named, and how long both took
    {"do": "time", "calls": 8}      seconds a call
    {"do": "memory"}                the peak so far, beyond what imported libraries took

Each class: __init__(workload, path of its files, inputs), open(threads) -> call, a function without arguments that returns nothing yet
keeps self.results (arrays) fresh, and before(), which is not timed."""
import ctypes as C
import json
import os
import subprocess
import sys
import time

import numpy as np
import quantized
from common import BUILD, COPY_WEIGHTS, OUT, ROOT, close, inputs_of, pointer, session
from workloads import WORKLOADS


class Ours:
    name = 'modelc'

    def __init__(self, w, path, inputs):
        self.w, self.path, self.inputs, self.session = w, path, inputs, None
        self.version = subprocess.run([BUILD + '/modelc', '--version'], capture_output=True, text=True).stdout.split('\n')[0]
        source = os.path.join(OUT, w.file, w.program)
        os.makedirs(os.path.dirname(source), exist_ok=True)
        with open(os.path.join(ROOT, 'examples', w.program)) as f:
            text = f.read()
        for old, new in w.edits:
            assert old in text, f'{w.program} has no "{old}" any more'
            text = text.replace(old, new)
        with open(source, 'w') as f:
            f.write(text)
        so, entries = source.replace('.mdl', '.so'), w.entry + (',' + w.check[0] if w.training else '')
        chosen = [] if any('--entries' in o for o in w.options) else ['--entries=' + entries]
        weights = [] if w.training else ['--load=' + path + '.safetensors']
        begin = time.perf_counter()
        subprocess.run([BUILD + '/modelc', source, '-o', so, *(o.replace('{path}', path) for o in w.options), *chosen, *weights], check=True)
        self.compiled = time.perf_counter() - begin
        self.size = os.path.getsize(so)
        self.lib, self.prefix = C.CDLL(so), os.path.basename(so)[:-3]

    def entry(self, name, sizes, inputs, shapes):
        results = [np.zeros(s, np.float32) for s in shapes]
        function, s = getattr(self.lib, f'{self.prefix}_{name}'), self.session
        arguments = [C.c_int64(n) for n in sizes] + [pointer(self.inputs[k]) for k in inputs] + [pointer(a) for a in results]

        def call():
            code = function(s, *arguments)
            assert code == 0, f'{name}: code {code}'
        return call, results

    def open(self, threads):
        w = self.w
        if self.session:
            close(self.session)
        self.session = session(self.lib, self.prefix, threads, self.path + '.safetensors' if w.training else None, COPY_WEIGHTS if w.streams else 0)
        call, self.results = self.entry(w.entry, w.sizes, w.given or self.inputs, w.results)
        if w.training:
            check, results = self.entry(*w.check)
            check()
            call()
            self.results = [results[-1], self.results[0]]
            return call
        if w.before:
            self.before, _ = self.entry(*w.before)
        self.before()
        call()
        return call

    def before(self):
        pass


class Torch:
    name = 'pytorch'
    compiled = False

    def __init__(self, w, path, inputs):
        import models
        import torch
        from safetensors.numpy import load_file
        self.m, self.torch, self.w, self.path, self.inputs, self.load = models, torch, w, path, inputs, load_file
        self.version = 'PyTorch ' + torch.__version__

    def open(self, threads):
        torch, w = self.torch, self.w
        torch.set_num_threads(threads)
        torch.manual_seed(1)
        if self.compiled:
            torch.compiler.reset()
        net = self.m.Net(w.model(self.m), self.load(self.path + '.safetensors')).channels_last()
        for name, v in net.w.items():
            if name.startswith(w.frozen) and w.frozen or '.running_' in name:
                v.requires_grad_(False)

        def tensors(names):
            made = [torch.tensor(v) for v in inputs_of(w, self.inputs, names)]
            return [t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 and t.is_floating_point() else t for t in made]
        given = tensors(w.model_inputs)
        net.eval()
        if w.training:
            with torch.inference_mode():
                check = net(*given).numpy().copy()
            net.train()
            step = w.training(self.m)(net, tensors(w.given), self.compiled)
            self.results = [check, step().detach().numpy().copy()]
            return lambda: step().item()
        forward = torch.compile(net) if self.compiled else net

        def call():
            with torch.inference_mode():
                return forward(*given)
        self.results = [call().numpy().copy()]
        return call

    def before(self):
        pass


class Compiled(Torch):
    name = 'compiled'
    compiled = True


def onnx_file(w, path, inputs, how=None):
    return quantized.file(path, how or w.codes, inputs) if w.codes else path + '.onnx'


class OnnxRuntime:
    name = 'onnxruntime'

    def __init__(self, w, path, inputs):
        import onnxruntime
        self.o, self.w, self.path = onnxruntime, w, path
        self.inputs = {f'in{i}': v for i, v in enumerate(inputs_of(w, inputs, w.model_inputs))}
        self.version = 'ONNX Runtime ' + onnxruntime.__version__

    def open(self, threads):
        options = self.o.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = threads, 1, 3
        s = self.o.InferenceSession(onnx_file(self.w, self.path, self.inputs), options, providers=['CPUExecutionProvider'])
        given = {i.name: self.inputs[i.name] for i in s.get_inputs()}
        names = [o.name for o in s.get_outputs()]
        self.results = [s.run(names, given)[0]]
        return lambda: s.run(names, given)

    def before(self):
        pass


class OpenVino:
    name = 'openvino'

    def __init__(self, w, path, inputs):
        import openvino
        self.o, self.w, self.path, self.precision = openvino, w, path, 'f32' if w.codes else w.precision
        self.inputs = {f'in{i}': v for i, v in enumerate(inputs_of(w, inputs, w.model_inputs))}
        self.version = 'OpenVINO ' + openvino.__version__.split('-')[0]

    def open(self, threads):
        core = self.o.Core()
        how = quantized.STATIC if self.w.codes == quantized.STATIC else quantized.MATRICES
        model = core.compile_model(onnx_file(self.w, self.path, self.inputs, how), 'CPU', {'INFERENCE_PRECISION_HINT': self.precision, 'INFERENCE_NUM_THREADS': threads, 'NUM_STREAMS': 1,
                                                                'PERFORMANCE_HINT': 'LATENCY'})
        request = model.create_infer_request()
        for port in model.inputs:
            name = next(n for n in port.get_names() if n in self.inputs)
            request.set_tensor(port, self.o.Tensor(self.inputs[name]))
        request.infer()
        self.results = [request.get_output_tensor(0).data.copy()]
        return request.infer

    def before(self):
        pass


class LiteRt:
    name = 'litert'

    def __init__(self, w, path, inputs):
        from importlib.metadata import version

        import litert
        from ai_edge_litert.interpreter import Interpreter
        from safetensors.numpy import load_file
        self.interpreter, self.input = Interpreter, inputs_of(w, inputs, w.model_inputs)[0]
        if self.input.ndim == 4 and self.input.dtype == np.float32:
            self.input = np.ascontiguousarray(self.input.transpose(0, 2, 3, 1))
        self.content = litert.build(w.program, self.input, load_file(path + '.safetensors'))
        self.version = 'LiteRT ' + version('ai-edge-litert')

    def open(self, threads):
        i = self.interpreter(model_content=self.content, num_threads=threads)
        i.allocate_tensors()
        i.set_tensor(i.get_input_details()[0]['index'], self.input)
        i.invoke()
        self.results = [i.get_tensor(i.get_output_details()[0]['index']).copy()]
        return i.invoke

    def before(self):
        pass


class Jax:
    name = 'jax'

    def __init__(self, w, path, inputs):
        self.w, self.path, self.inputs = w, path, inputs
        import models_jax
        self.open_model, self.version = models_jax.open, 'JAX ' + models_jax.jax.__version__

    def open(self, threads):
        call, self.results = self.open_model(self.w, self.path, self.inputs)
        return call

    def before(self):
        pass


class LlamaCpp:
    """Through its C functions. A row that decodes has the tokens before in its cache, and each call appends to it; else a call is the whole pass."""
    name = 'llama.cpp'

    def __init__(self, w, path, inputs):
        from importlib.metadata import version

        import gguf_file
        import llama_cpp
        self.l, self.w, self.file = llama_cpp, w, gguf_file.file(path, w.bits)
        self.past = inputs['ids'][0] if w.before else []
        self.given = inputs['id'] if w.before else inputs['ids'][0]
        self.version = 'llama.cpp of llama-cpp-python ' + version('llama-cpp-python')

    def open(self, threads):
        l, count = self.l, len(self.past) + len(self.given)
        l.llama_backend_init()
        m = l.llama_model_default_params()
        m.use_mmap = False  # weights in memory of its own, as COPY_WEIGHTS says of ours; it is a little faster so
        model = l.llama_model_load_from_file(self.file.encode(), m)
        p = l.llama_context_default_params()
        p.n_ctx = p.n_batch = p.n_ubatch = -(-(count + self.w.calls) // 256) * 256  # it rounds up to these, too
        p.n_threads = p.n_threads_batch = threads
        if self.w.bits == 32:
            p.type_k = p.type_v = l.GGML_TYPE_F32
        self.context = l.llama_init_from_model(model, p)
        self.vocab = l.llama_vocab_n_tokens(l.llama_model_get_vocab(model))
        self.memory, given = l.llama_get_memory(self.context), self.tokens(self.given)
        if len(self.past):
            self.decode(self.tokens(self.past))

        def call():
            if not len(self.past):
                self.before()
            return self.decode(given)
        self.results = [np.ctypeslib.as_array(call(), (1, self.vocab)).copy()]
        return call

    def tokens(self, ids):
        return (C.c_int32 * len(ids))(*ids)

    def decode(self, ids):
        """The last one's logits."""
        code = self.l.llama_decode(self.context, self.l.llama_batch_get_one(ids, len(ids)))
        assert code == 0, f'llama_decode: code {code}'
        return self.l.llama_get_logits_ith(self.context, -1)

    def before(self):
        self.l.llama_memory_seq_rm(self.memory, 0, len(self.past), -1)


CONTESTANTS = {c.name: c for c in (Ours, Torch, Compiled, OnnxRuntime, OpenVino, LiteRt, Jax, LlamaCpp)}


def status(field):
    with open('/proc/self/status') as f:
        for line in f:
            if line.startswith(field + ':'):
                return int(line.split()[1]) * 1024
    return 0


def reset_peak():
    try:
        with open('/proc/self/clear_refs', 'w') as f:
            f.write('5')
    except OSError:
        pass


def serve(answers, c, out):
    call, base = None, status('VmRSS')
    reset_peak()
    for line in sys.stdin:
        ask = json.loads(line)
        if ask['do'] == 'open':
            begin = time.perf_counter()
            call = c.open(ask['threads'])
            answer = {'results': out, 'seconds': time.perf_counter() - begin}
            np.savez(out, *c.results)
        elif ask['do'] == 'time':
            c.before()
            begin = time.perf_counter()
            for _ in range(ask['calls']):
                call()
            answer = {'seconds': (time.perf_counter() - begin) / ask['calls']}
        else:
            answer = {'bytes': status('VmHWM') - base}
        answers.write(json.dumps(answer) + '\n')
        answers.flush()


def main():
    """contestants.py NAME ROW [THREADS]: rows of WORKLOADS by number. THREADS: the most; XLA wants to know before it starts."""
    answers = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what libraries print does not mix with the answers
    w = WORKLOADS[int(sys.argv[2])]
    path = os.path.join(OUT, w.file)
    try:
        c = CONTESTANTS[sys.argv[1]](w, path, dict(np.load(path + '.npz')))
    except ImportError as e:
        answers.write(json.dumps({'missing': str(e)}) + '\n')
        answers.flush()
        return
    answers.write(json.dumps({'version': c.version, 'compiled': getattr(c, 'compiled', 0) or 0, 'size': getattr(c, 'size', 0)}) + '\n')
    answers.flush()
    serve(answers, c, f'{path}.{c.name}.npz')


if __name__ == '__main__':
    main()
