"""workloads.py -- the table of what `make bench` times. A row: the program and what is set in it, the entry with its sizes, inputs and
results, the same model for the rivals (tests/bench/models.py, by name, so that this file needs no PyTorch), and who competes."""
import dataclasses
import typing

import numpy as np
from quantized import DYNAMIC, STATIC

TORCH, COMPILED, ORT, OPENVINO, LITERT, JAX, LLAMA = 'pytorch', 'compiled', 'onnxruntime', 'openvino', 'litert', 'jax', 'llama.cpp'


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    program: str                             # below examples/
    entry: str                               # what is timed
    sizes: tuple                             # arguments of the entry's C function, before the inputs
    inputs: typing.Callable                  # r -> {name: array}, r: a NumPy generator; in the order of the C function
    results: tuple                           # shapes, f32
    model: typing.Callable                   # models -> function(net, *inputs)
    rivals: tuple = (TORCH, ORT, OPENVINO)
    options: tuple = ()                      # of modelc
    edits: tuple = ()                        # (old, new) in the program's text
    given: tuple = ()                        # the names of those that the entry takes; default: all
    model_inputs: tuple = ()                 # ... that the model takes; default: all
    derived: typing.Callable = None          # models -> function(net, inputs) -> more inputs, which PyTorch computes
    before: tuple = ()                       # (entry, sizes, input names, shapes of results): called before each round, not timed
    training: typing.Callable = None         # models -> make(net, inputs, compiled) -> step; then `model` is what is compared first
    check: tuple = ()                        # of a training: (entry, sizes, input names, shapes of results) that `model` computes
    frozen: tuple = ()                       # prefixes of weights that are not trained
    streams: bool = False                    # every weight is read once a call and used once: the floor is memory's
    tolerance: float = 2e-4                  # of the largest |value|
    near: float = 6e-2                       # .. between llama.cpp and ours, whose codes are of the same kind
    precision: str = 'f32'                   # of products; rivals choose by themselves otherwise
    codes: str = ''                          # int8: 'dynamic' or 'static' (quantized.py); of options {path} is that of the workload's files
    bits: int = 32                           # of a weight as ours keeps it, scales left out
    calls: int = 0                           # in one round; 0: as many as fill a slice of time (run.py)
    quick: bool = False                      # in bench-quick

    @property
    def file(self):
        return ''.join(c if c.isalnum() else '_' for c in self.name)


def normal(**shapes):
    return lambda r: {k: r.standard_normal(s).astype(np.float32) for k, s in shapes.items()}


def picture(batch, size, labels=0):
    def make(r):
        x = {'x': r.standard_normal((batch, 3, size, size)).astype(np.float32)}
        return x | ({'y': r.integers(0, labels, batch).astype(np.int32)} if labels else {})
    return make


def pixels(batch, labels=False):
    def make(r):
        x = {'x': r.integers(0, 256, (batch, 28, 28, 1)).astype(np.uint8)}
        return x | ({'y': r.integers(0, 10, batch).astype(np.int32)} if labels else {})
    return make


def text(batch, t, labels=False):
    def make(r):
        x = {'ids': r.integers(0, 20000, (batch, t)).astype(np.int32), 'lengths': np.full(batch, t, np.int32)}
        return x | ({'y': r.integers(0, 2, batch).astype(np.float32)} if labels else {})
    return make


def ids(batch, t, vocab):
    return lambda r: {'ids': r.integers(0, vocab, (batch, t)).astype(np.int32)}


def sentence(t):
    return lambda r: {'ids': r.integers(0, 30522, (1, t)).astype(np.int32), 'kind': np.zeros((1, t), np.int32), 'mask': np.ones((1, t), np.bool_)}


def mlp_step(batch):
    return lambda r: {'x': r.standard_normal((batch, 784)).astype(np.float32), 'y': r.integers(0, 10, batch).astype(np.int32)}


# The loss of seq2seq.mdl's step without its dropout: what a rival's is compared with.
SEQ2SEQ_EVALUATE = '''entry evaluate[b, s in 1..context, n in 2..context](src: i32[b, s], dst: i32[b, n]) -> (loss: f32) {
    return cross_entropy(net.decode(dst[:, :-1], net.encode(src), src != pad), dst[:, 1:], ignore = pad, smoothing = 0.1);
}

'''


def sentences(batch, s, t, vocab):
    """Nothing is padding."""
    return lambda r: {'src': r.integers(3, vocab, (batch, s)).astype(np.int32), 'dst': r.integers(3, vocab, (batch, t)).astype(np.int32)}


DEMO = ('net', 4, 4, 128, 256, 64)             # root, layers, heads, d, vocab, context
SIX = ('net', 6, 6, 384, 256, 256)
GPT2 = ('gpt', 12, 12, 768, 50257, 1024)


def decoding(vocab, t):
    """A token after t others: the rivals get keys and values that a prefill of theirs made."""
    return lambda r: {'ids': r.integers(0, vocab, (1, t)).astype(np.int32), 'id': np.array([65], np.int32)}


def decoder(name, program, model, t, options=(), **more):
    return Workload(name, program, 'decode', (1,), decoding(model[4], t), ((1, model[4]),), lambda m: m.Decoder(*model).decode,
                    options=('--entries=prefill,decode', *options), given=('id',), model_inputs=('id', 'past'),
                    derived=lambda m: lambda n, x: {'past': m.Decoder(*model).past(n, x['ids'])}, before=('prefill', (1, t), ('ids',), ((1, model[4]),)), **more)


HALF_CACHE = ('-D', 'kept=f16')                # as llama.cpp keeps keys and values, whatever its weights are


def int8(selection, how, *options):
    """Of a row in int8: the rivals' files are of the same kind, but OpenVINO, which has no dynamic one, gets static matrices."""
    ranges = ', calibrate = "{path}.npz"' if how == STATIC else ''
    return {'rivals': (ORT, OPENVINO), 'options': (*options, f'--quantize={selection}: int8(activations = "{how}"{ranges})'), 'codes': how, 'tolerance': 0.3}


def int4(selection, *options):
    """Of a row with weights in int4: PyTorch beside it computes in f32."""
    return {'rivals': (TORCH, LLAMA), 'bits': 4, 'options': (*options, f'--quantize={selection}: int4(group = 32, activations = "dynamic")'), 'codes': DYNAMIC, 'tolerance': 0.3}


WORKLOADS = [
    Workload('MLP, batch 1', 'mlp.mdl', 'predict', (1,), normal(x=(1, 784)), ((1, 10),), lambda m: m.mlp,
             (TORCH, ORT, OPENVINO, LITERT, JAX), streams=True, quick=True),
    Workload('MLP, batch 64', 'mlp.mdl', 'predict', (64,), normal(x=(64, 784)), ((64, 10),), lambda m: m.mlp,
             (TORCH, ORT, OPENVINO, LITERT, JAX), quick=True),
    Workload('fashion_cnn, batch 1', 'fashion_cnn.mdl', 'predict', (1,), pixels(1), ((1,), (1, 10)), lambda m: m.fashion,
             (TORCH, ORT, OPENVINO, LITERT), quick=True),
    Workload('fashion_cnn, batch 64', 'fashion_cnn.mdl', 'predict', (64,), pixels(64), ((64,), (64, 10)), lambda m: m.fashion,
             (TORCH, ORT, OPENVINO, LITERT)),
    Workload('ResNet-18', 'resnet.mdl', 'classify', (1, 224, 224), picture(1, 224), ((1, 1000),), lambda m: m.resnet(18), options=('-D', 'depth=18'),
             quick=True),
    Workload('ResNet-50', 'resnet.mdl', 'classify', (1, 224, 224), picture(1, 224), ((1, 1000),), lambda m: m.resnet(50), options=('-D', 'depth=50')),
    Workload('MobileNetV2', 'mobilenet.mdl', 'classify', (1,), picture(1, 224), ((1, 1000),), lambda m: m.mobilenet,
             (TORCH, ORT, OPENVINO, LITERT), quick=True),
    Workload('LSTM text, T 200, batch 1', 'lstm_text.mdl', 'predict', (1, 200), text(1, 200), ((1,),), lambda m: m.lstm_text, quick=True),
    Workload('LSTM text, T 200, batch 32', 'lstm_text.mdl', 'predict', (32, 200), text(32, 200), ((32,),), lambda m: m.lstm_text),
    Workload('BERT-base, 128 tokens', 'bert.mdl', 'embed', (1, 128), sentence(128), ((1, 768),), lambda m: m.bert(12, 768, 12)),
    Workload('MiniLM-L6, 128 tokens', 'bert.mdl', 'embed', (1, 128), sentence(128), ((1, 384),), lambda m: m.bert(6, 384, 12),
             options=('-D', 'layers=6', '-D', 'd=384'), quick=True),
    Workload('BERT-base, 128 tokens, bf16', 'bert.mdl', 'embed', (1, 128), sentence(128), ((1, 768),), lambda m: m.bert(12, 768, 12), (OPENVINO,),
             options=('-D', 'half=true'), precision='bf16', tolerance=0.1),
    Workload('MiniLM-L6, 128 tokens, bf16', 'bert.mdl', 'embed', (1, 128), sentence(128), ((1, 384),), lambda m: m.bert(6, 384, 12), (OPENVINO,),
             options=('-D', 'layers=6', '-D', 'd=384', '-D', 'half=true'), precision='bf16', tolerance=0.1),
    Workload('GPT-2, prefill 256', 'gpt.mdl', 'prefill', (1, 256), ids(1, 256, 50257), ((1, 50257),), lambda m: m.Decoder(*GPT2).prefill,
             (TORCH, ORT, OPENVINO, LLAMA), options=('--entries=prefill,decode',), near=4e-3),
    decoder('GPT-2, decode at 256', 'gpt.mdl', GPT2, 256, streams=True, calls=8, rivals=(TORCH, ORT, OPENVINO, LLAMA), near=4e-3),
    decoder('transformer, decode at 8', 'transformer.mdl', DEMO, 8, calls=50, quick=True),

    Workload('MLP, step of 128', 'mlp.mdl', 'step', (128,), mlp_step(128), ((), ()), lambda m: m.mlp, (TORCH, JAX),
             training=lambda m: m.training(m.mlp_loss, m.adamw), check=('predict', (128,), ('x',), ((128, 10),)), model_inputs=('x',)),
    Workload('MLP 784-1024-1024-10, step of 128', 'mlp.mdl', 'step', (128,), mlp_step(128), ((), ()),
             lambda m: lambda n, x: m.mlp_logits(n, x, (1024, 1024)).softmax(-1), (TORCH, JAX),
             edits=(('Linear(hidden), relu, Dropout(0.2),', 'Linear(1024), relu, Dropout(0.2), Linear(1024), relu, Dropout(0.2),'),),
             training=lambda m: m.training(lambda n, x, y: m.F.cross_entropy(m.mlp_logits(n, x, (1024, 1024)), y.long()), m.adamw),
             check=('predict', (128,), ('x',), ((128, 10),)), model_inputs=('x',)),
    Workload('transformer, step of 12 x 64', 'transformer.mdl', 'step', (12, 65), ids(12, 65, 256), ((),), lambda m: m.Decoder(*DEMO).loss,
             (TORCH, COMPILED), training=lambda m: m.training(m.Decoder(*DEMO).loss, m.adamw_matrices, 1.0),
             check=('evaluate', (12, 65), ('ids',), ((),)), tolerance=1e-4),
    Workload('transformer 6 x 384, step of 12 x 256', 'transformer.mdl', 'step', (12, 257), ids(12, 257, 256), ((),), lambda m: m.Decoder(*SIX).loss,
             (TORCH, COMPILED), options=('-D', 'layers=6', '-D', 'heads=6', '-D', 'd=384', '-D', 'context=256'),
             training=lambda m: m.training(m.Decoder(*SIX).loss, m.adamw_matrices, 1.0), check=('evaluate', (12, 257), ('ids',), ((),)), tolerance=1e-4,
             calls=1),
    Workload('GPT-2, step of 4 x 64', 'gpt.mdl', 'step', (4, 65), ids(4, 65, 50257), ((), ()), lambda m: m.Decoder(*GPT2).prefill, (TORCH, COMPILED),
             edits=(('Dropout(0.1)', 'Dropout(0.0)'), ('@checkpoint ', ''), (', accumulate = 8', '')),
             training=lambda m: m.training(m.Decoder(*GPT2).loss, m.adamw_matrices, 1.0), check=('prefill', (4, 65), ('ids',), ((4, 50257),)), calls=1),
    Workload('seq2seq 2 + 2 layers, step of 8 x 64', 'seq2seq.mdl', 'step', (8, 64, 65), sentences(8, 64, 65, 8000), ((), ()),
             lambda m: m.Seq2Seq(2, 512, 8, 8000).evaluate, (TORCH, COMPILED), options=('-D', 'layers=2', '-D', 'vocab=8000'),
             edits=(('entry translate[', SEQ2SEQ_EVALUATE + 'entry translate['),),
             training=lambda m: m.training(m.Seq2Seq(2, 512, 8, 8000).loss, m.adam),
             check=('evaluate', (8, 64, 65), ('src', 'dst'), ((),)), tolerance=1e-4, calls=1),
    Workload('fashion_cnn, step of 128', 'fashion_cnn.mdl', 'step', (128,), pixels(128, True), ((), ()), lambda m: m.fashion, (TORCH,),
             training=lambda m: m.training(m.fashion_loss, m.sgd), check=('predict', (128,), ('x',), ((128,), (128, 10))), model_inputs=('x',)),
    Workload('LSTM text, T 200, step of 64', 'lstm_text.mdl', 'step', (64, 200), text(64, 200, True), ((), ()), lambda m: m.lstm_text, (TORCH,),
             training=lambda m: m.training(m.lstm_loss, m.adam, 5.0), check=('predict', (64, 200), ('ids', 'lengths'), ((64,),)),
             model_inputs=('ids', 'lengths'), frozen=('net.embed.',)),
    Workload('VAE, step of 128', 'vae.mdl', 'step', (128,), lambda r: {'x': r.random((128, 784)).astype(np.float32)}, ((), ()),
             lambda m: m.vae_mean, (TORCH, COMPILED, JAX), training=lambda m: m.training(m.vae_loss, m.adam),
             check=('encode', (128,), ('x',), ((128, 20),))),
    Workload('DCGAN width 64, step of 16', 'gan.mdl', 'step', (16,), normal(real=(16, 3, 64, 64), z=(16, 100)), ((), ()), lambda m: m.dcgan_generate, (TORCH,),
             training=lambda m: m.dcgan_training, check=('generate', (16,), ('z',), ((16, 3, 64, 64),)), given=('real',), model_inputs=('z',), calls=1),
    Workload('ResNet-18 at 32 x 32, step of 64', 'resnet.mdl', 'step', (64,), picture(64, 32, 10), ((), (), ()), lambda m: m.resnet(18, 10, True), (TORCH,),
             options=('-D', 'depth=18', '-D', 'classes=10', '--entries=step,classify'),
             edits=(('3, 224, 224]', '3, 32, 32]'), ('Conv2d(64, kernel = 7, stride = 2, pad = 3,', 'Conv2d(64, kernel = 3, pad = 1,'),
                    (' |> max_pool2d(3, stride = 2, pad = 1)', '')),
             training=lambda m: m.training(m.resnet_loss(18, 10, True), m.sgd_nesterov), check=('classify', (64, 32, 32), ('x',), ((64, 10),)),
             model_inputs=('x',), calls=1),

    Workload('BERT-base, 128 tokens, int8', 'bert.mdl', 'embed', (1, 128), sentence(128), ((1, 768),), lambda m: m.bert(12, 768, 12), **int8('bert', DYNAMIC)),
    Workload('MiniLM-L6, 128 tokens, int8', 'bert.mdl', 'embed', (1, 128), sentence(128), ((1, 384),), lambda m: m.bert(6, 384, 12),
             **int8('bert', DYNAMIC, '-D', 'layers=6', '-D', 'd=384')),
    Workload('ResNet-50, int8', 'resnet.mdl', 'classify', (1, 224, 224), picture(1, 224), ((1, 1000),), lambda m: m.resnet(50),
             **int8('net', STATIC, '-D', 'depth=50')),
    Workload('MobileNetV2, int8', 'mobilenet.mdl', 'classify', (1,), picture(1, 224), ((1, 1000),), lambda m: m.mobilenet, **int8('net', STATIC)),
    decoder('GPT-2, decode at 256, int8', 'gpt.mdl', GPT2, 256, streams=True, calls=8, bits=8, **int8('gpt', DYNAMIC, *HALF_CACHE) | {'rivals': (TORCH, ORT, LLAMA)}),
    decoder('GPT-2, decode at 256, int4', 'gpt.mdl', GPT2, 256, streams=True, calls=8, **int4('gpt', *HALF_CACHE)),
    Workload('GPT-2, prefill 256, int4', 'gpt.mdl', 'prefill', (1, 256), ids(1, 256, 50257), ((1, 50257),), lambda m: m.Decoder(*GPT2).prefill,
             **int4('gpt', '--entries=prefill,decode')),
]
