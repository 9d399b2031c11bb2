"""MNN computes what the file says, quietly, in several threads at once, and without its tools."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from pipeline.upscaling.mnn import MnnFile, run_network

RUN_AND_TELL = """
import sys
from pipeline.upscaling.mnn import import_mnn

print("before")
import_mnn()
print("after", any(name.startswith("MNN.tools") for name in sys.modules))
"""


def network(seed: int) -> tuple[bytes, np.ndarray, np.ndarray]:
    """A file that uses each operator, an input, and the result."""
    rng = np.random.default_rng(seed)
    weight, bias = rng.normal(size=(8, 8, 3, 3)).astype("f4"), rng.normal(size=8).astype("f4")
    picture = rng.normal(size=(1, 4, 23, 17)).astype("f4")
    file = MnnFile(4)
    both = file.concatenate([file.features, file.multiply(file.features, file.constant(-0.5))])
    data = file.finish(file.double(file.leaky_relu(file.add(both, file.convolution(both, weight, bias)), 0.2)))

    value = np.concatenate([picture, -0.5 * picture], axis=1)
    padded = np.pad(value[0], ((0, 0), (1, 1), (1, 1)))
    for row, column in np.ndindex(3, 3):
        value = value + np.einsum(
            "chw,oc->ohw", padded[:, row : row + 23, column : column + 17], weight[..., row, column]
        )
    value = value + bias[:, None, None]
    return data, picture, np.where(value < 0, 0.2 * value, value).repeat(2, axis=2).repeat(2, axis=3)


def test_each_operator_computes_what_numpy_computes():
    data, picture, expected = network(0)

    difference = np.abs(run_network(data, picture, threads=2) - expected) / expected.std()
    # The fast convolution of MNN is least exact at the corners of its blocks.
    assert difference.mean() < 1e-4
    assert difference.max() < 5e-3


def test_networks_in_several_threads_do_not_disturb_each_other():
    jobs = [network(seed)[:2] for seed in range(4)] * 4
    alone = [run_network(data, picture, threads=2) for data, picture in jobs]

    with ThreadPoolExecutor(4) as pool:
        together = pool.map(lambda job: run_network(*job, threads=2), jobs)

    assert all(np.array_equal(one, other) for one, other in zip(alone, together, strict=True))


def test_it_prints_nothing_and_leaves_its_tools_alone():
    """`MNN.tools` would install packages and report its use over the network."""
    done = subprocess.run([sys.executable, "-c", RUN_AND_TELL], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("before\nafter False\n", "")
