"""Writes models.npz: the weights of small Keras models in double precision, their losses and gradients.

    pip install keras==3.15.1 jax==0.10.2
    KERAS_BACKEND=jax python3 tests/data/keras/models.py

`CASE/weights/PATH` is a weight under its path in Keras, `CASE/of/PATH` the gradient of the loss with respect to it. `CASE/in/NAME`
is an input, steps first, `CASE/out/o` the output of the last layer, `CASE/loss/` the loss.
"""

import os

import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as np
import keras
import numpy
from keras import layers

keras.config.set_floatx("float64")
keras.config.set_dtype_policy("float64")
HERE = os.path.dirname(os.path.abspath(__file__))
T, B = 5, 3


# The functions of Keras 3.15 round to single precision with JAX.
@keras.saving.register_keras_serializable()
def tanh(x):
    return np.tanh(x)


@keras.saving.register_keras_serializable()
def sigmoid(x):
    return jax.nn.sigmoid(x)


class Normalization(layers.LayerNormalization):
    """That of Keras rounds to single precision too."""

    def call(self, x):
        centred = x - np.mean(x, -1, keepdims=True)
        variance = np.mean(centred**2, -1, keepdims=True)
        return self.gamma.value * centred / np.sqrt(variance + self.epsilon) + self.beta.value


GATED = {"activation": tanh, "recurrent_activation": sigmoid, "return_sequences": True}
SIMPLE = {"activation": tanh, "return_sequences": True}


def models():
    tagger = [
        layers.Input((None,), dtype="int32"),
        layers.Embedding(7, 3),
        layers.Bidirectional(layers.LSTM(4, **GATED)),
        layers.LSTM(2, use_bias=False, **GATED),
        layers.Dense(3),
    ]
    grus = [
        layers.Input((None, 2)),
        layers.GRU(3, **GATED),
        layers.GRU(4, reset_after=False, **GATED),
        layers.Bidirectional(layers.GRU(2, reset_after=False, **GATED)),
        Normalization(name="layer_normalization"),
        layers.Dense(3, activation=jax.nn.relu),
        layers.Dense(2),
    ]
    simple = [
        layers.Input((None, 2)),
        layers.SimpleRNN(3, **SIMPLE),
        layers.SimpleRNN(3, **SIMPLE),
        layers.Dense(2, use_bias=False),
    ]
    return {"tagger": tagger, "grus": grus, "simple": simple}


if __name__ == "__main__":
    random, found = numpy.random.default_rng(4), {}
    for name, stack in models().items():
        model = keras.Sequential(stack)
        model.set_weights([random.uniform(-0.9, 0.9, w.shape) for w in model.weights])
        if name == "tagger":
            x, y = random.integers(0, 7, (B, T)), random.integers(0, 3, (B, T))
        else:
            x, y = random.uniform(-1, 1, (B, T, 2)), random.uniform(-1, 1, (B, T, 2))

        def loss(weights):
            o, _ = model.stateless_call(weights, [v.value for v in model.non_trainable_variables], x)
            if name == "tagger":
                log_p = jax.nn.log_softmax(o, -1)
                return -np.mean(np.take_along_axis(log_p, y[..., None], -1)), o
            return np.mean((o - y) ** 2), o

        weights = [v.value for v in model.trainable_variables]
        (value, o), gradients = jax.value_and_grad(loss, has_aux=True)(weights)
        for v, g in zip(model.trainable_variables, gradients):
            found[f"{name}/weights/{v.path}"] = numpy.asarray(v.value)
            found[f"{name}/of/{v.path}"] = numpy.asarray(g)
        for key, array in {"in/x": x, "in/y": y, "out/o": o}.items():
            found[f"{name}/{key}"] = numpy.swapaxes(numpy.asarray(array), 0, 1)
        found[f"{name}/loss/"] = numpy.asarray(value)
    numpy.savez_compressed(os.path.join(HERE, "models.npz"), **found)
    print(sorted({n.split("/")[0] for n in found}))
