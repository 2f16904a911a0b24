"""gguf_file.py -- the GGUF file of a workload of examples/gpt.mdl: what llama.cpp is timed with. Its own quantizer makes the codes."""
import os

CODES = {8: 'LLAMA_FTYPE_MOSTLY_Q8_0', 4: 'LLAMA_FTYPE_MOSTLY_Q4_0'}  # by the bits of a weight
LAYER = {'ln_1': 'attn_norm', 'attn.qkv': 'attn_qkv', 'attn.proj': 'attn_output', 'ln_2': 'ffn_norm', 'up': 'ffn_up', 'down': 'ffn_down'}
REST = {'wte': 'token_embd', 'wpe': 'position_embd', 'ln_f': 'output_norm'}


def name(ours):
    """gpt.h.3.attn.qkv.weight -> blk.3.attn_qkv.weight"""
    part, kind = ours.removeprefix('gpt.').rsplit('.', 1)
    if not part.startswith('h.'):
        return f'{REST[part]}.{kind}'
    _, i, part = part.split('.', 2)
    return f'blk.{i}.{LAYER[part]}.{kind}'


def write(path, target):
    """PATH.safetensors as GGUF, in f32."""
    import gguf
    from safetensors.numpy import load_file
    weights = load_file(path + '.safetensors')
    vocab, d = weights['gpt.wte.weight'].shape
    w = gguf.GGUFWriter(target, 'gpt2')
    w.add_context_length(len(weights['gpt.wpe.weight']))
    w.add_embedding_length(d)
    w.add_feed_forward_length(len(weights['gpt.h.0.up.weight']))
    w.add_block_count(sum(k.endswith('.ln_1.weight') for k in weights))
    w.add_head_count(d // 64)  # as in all sizes of GPT-2
    w.add_layer_norm_eps(1e-5)
    w.add_vocab_size(vocab)
    w.add_tokenizer_model('no_vocab')
    for k, v in weights.items():
        w.add_tensor(name(k), v)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def file(path, bits):
    """PATH.BITS.gguf: all matrices in `bits` bits (32: as they are), the last one too. Made anew where PATH.safetensors is younger; in a file
    beside it until it is whole."""
    import llama_cpp
    target = f'{path}.{bits}.gguf'
    if os.path.exists(target) and os.path.getmtime(target) > os.path.getmtime(path + '.safetensors'):
        return target
    part = f'{target}.{os.getpid()}'
    write(path, part)
    if bits in CODES:
        p = llama_cpp.llama_model_quantize_default_params()
        p.ftype, p.pure = getattr(llama_cpp, CODES[bits]), True
        code = llama_cpp.llama_model_quantize(part.encode(), (part + '.codes').encode(), p)
        assert code == 0, f'llama_model_quantize: code {code}'
        os.rename(part + '.codes', part)
    os.rename(part, target)
    return target
