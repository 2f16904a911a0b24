"""quantized.py -- the ONNX file of a workload in int8, by ONNX Runtime's own quantizer: what ONNX Runtime and OpenVINO are timed with."""
import logging
import os

DYNAMIC, STATIC, MATRICES = 'dynamic', 'static', 'matrices'


class Sample:
    """The inputs of the workload, once."""

    def __init__(self, inputs):
        self.rest = [inputs]

    def get_next(self):
        return self.rest.pop() if self.rest else None


def file(path, how, inputs):
    """PATH.onnx with weights in codes, scales per channel: ranges of activations per call (dynamic), or those of the inputs (QDQ: static, u8 by s8;
    matrices, those alone, s8 by s8, which OpenVINO likes best in transformers). Made anew where PATH.onnx is younger; in a file beside it until it is whole."""
    import onnx
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process
    source, target = path + '.onnx', f'{path}.{how}.onnx'
    if os.path.exists(target) and os.path.getmtime(target) > os.path.getmtime(source):
        return target
    logging.disable(logging.WARNING)
    part = f'{target}.{os.getpid()}'
    quant_pre_process(source, part, skip_symbolic_shape=True)
    if how == DYNAMIC:
        q.quantize_dynamic(part, part, per_channel=True, weight_type=q.QuantType.QInt8)
    else:
        chosen = {'op_types_to_quantize': ['MatMul', 'Gemm'], 'extra_options': {'MatMulConstBOnly': True, 'ActivationSymmetric': True}} if how == MATRICES else {}
        wanted = {i.name for i in onnx.load(part, load_external_data=False).graph.input}
        q.quantize_static(part, part, Sample({k: v for k, v in inputs.items() if k in wanted}), quant_format=q.QuantFormat.QDQ, per_channel=True,
                          activation_type=q.QuantType.QInt8 if chosen else q.QuantType.QUInt8, weight_type=q.QuantType.QInt8, **chosen)
    os.rename(part, target)
    return target
