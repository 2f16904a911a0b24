"""models_jax.py -- the multilayer nets once more, for JAX: weights by the program's names, jitted, a training step with its buffers donated."""
import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file


def linear(w, name, x):
    return x @ w[name + '.weight'].T + w[name + '.bias']


def dropped(key, x):
    return x if key is None else jnp.where(jax.random.bernoulli(key, 0.8, x.shape), x / 0.8, 0)


def mlp_logits(w, x, key=None):
    """As many layers as there are weights; dropout where there is a key."""
    last = max(int(k.split('.')[1]) for k in w)
    for i in range(0, last, 3):
        x = dropped(None if key is None else jax.random.fold_in(key, i), jax.nn.relu(linear(w, f'net.{i}', x)))
    return linear(w, f'net.{last}', x)


def mlp(w, x):
    return jax.nn.softmax(mlp_logits(w, x))


def mlp_loss(w, key, x, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(mlp_logits(w, x, key)), y[:, None], 1).mean()


def coder(w, name, x):
    return linear(w, name + '.2', jax.nn.relu(linear(w, name + '.0', x)))


def vae_mean(w, x):
    return jnp.split(coder(w, 'enc', x), 2, -1)[0]


def vae_loss(w, key, x):
    mu, logvar = jnp.split(coder(w, 'enc', x), 2, -1)
    z = coder(w, 'dec', mu + jnp.exp(0.5 * logvar) * jax.random.normal(key, mu.shape))
    bce = jnp.maximum(z, 0) - z * x + jnp.log1p(jnp.exp(-jnp.abs(z)))
    return bce.sum() / len(x) + 0.5 * (mu * mu + jnp.exp(logvar) - 1 - logvar).sum(-1).mean()


def trained(loss, decay):
    """One step of Adam (AdamW with decay): (state, inputs) -> (state, loss)."""
    def step(state, *inputs):
        w, m, v, t, key = state
        key, used = jax.random.split(key)
        value, g = jax.value_and_grad(loss)(w, used, *inputs)
        t = t + 1
        m = jax.tree.map(lambda a, b: 0.9 * a + 0.1 * b, m, g)
        v = jax.tree.map(lambda a, b: 0.999 * a + 0.001 * b * b, v, g)
        w = jax.tree.map(lambda p, a, b: p - 1e-3 * (a / (1 - 0.9 ** t) / (jnp.sqrt(b / (1 - 0.999 ** t)) + 1e-8) + decay * p), w, m, v)
        return (w, m, v, t, key), value
    return jax.jit(step, donate_argnums=0)


MODELS = {'mlp.mdl': (mlp, mlp_loss, 0.01), 'vae.mdl': (vae_mean, vae_loss, 0.0)}


def open(w, path, inputs):
    """A call, and what is compared: the results; in training those of a pass before the first step, and its loss."""
    model, loss, decay = MODELS[w.program]
    weights = {k: jnp.asarray(v) for k, v in load_file(path + '.safetensors').items()}
    arrays = {k: jnp.asarray(v) for k, v in inputs.items()}
    forward, given = jax.jit(model), [arrays[k] for k in w.model_inputs or inputs]
    check = np.array(forward(weights, *given))
    if not w.training:
        return lambda: forward(weights, *given).block_until_ready(), [check]
    step = trained(loss, decay)
    zeros = lambda: jax.tree.map(jnp.zeros_like, weights)
    state = [(weights, zeros(), zeros(), jnp.float32(0), jax.random.key(1))]

    def call():
        state[0], value = step(state[0], *(arrays[k] for k in w.given or inputs))
        return float(value)
    return call, [check, np.float32(call())]
