"""Internal functions of the C kernels compared with numpy: packing, products, transposes, transforms."""

from __future__ import annotations

import ctypes
import re
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch

from tsfcn.training.fused import build, c_backend

Array = np.ndarray[Any, Any]
TYPES = ("float32", "float64", "bfloat16")
ACC: dict[str, Any] = {"float32": np.float32, "float64": np.float64, "bfloat16": np.float32}
OPERAND: dict[str, Any] = {"float32": np.float32, "float64": np.float64, "bfloat16": np.uint16}
SIZES = ("pair", "vector_mr", "mr", "nr", "k_multiple", "kc", "alpha", "points", "min_r", "max_r", "max_tiles")


class Inside:
    """The internal functions for one type."""

    def __init__(self, library: ctypes.CDLL, kind: str) -> None:
        self.library, self.kind, self.acc, self.operand = library, kind, ACC[kind], OPERAND[kind]
        sizes = (ctypes.c_int64 * len(SIZES)).in_dll(library, f"test_sizes_{kind}")
        self.size = dict(zip(SIZES, sizes, strict=True))
        self.tolerance = {"float32": 1e-5, "float64": 1e-13, "bfloat16": 1e-5}[kind]  # sums are float32

    def call(self, name: str, *values: Array | int | None) -> None:
        function = getattr(self.library, f"test_{name}_{self.kind}")
        function.argtypes = [ctypes.c_int64 if isinstance(value, int) else ctypes.c_void_p for value in values]
        function(*(value.ctypes.data if isinstance(value, np.ndarray) else value for value in values))

    def random(self, *shape: int) -> Array:
        values: Array = np.random.default_rng(0).standard_normal(shape).astype(self.acc)
        return self.values(self.operands(values))

    def operands(self, values: Array) -> Array:
        """Return values as operands; bfloat16 as bits, rounded by PyTorch."""
        if self.kind != "bfloat16":
            return values
        return torch.from_numpy(values).bfloat16().view(torch.uint16).numpy()

    def values(self, operands: Array) -> Array:
        if self.kind != "bfloat16":
            return operands
        return (operands.astype(np.uint32) << 16).view(np.float32)

    def padded_k(self, k: int) -> int:
        multiple: int = self.size["k_multiple"]
        return -(-k // multiple) * multiple

    def packed(self, b: Array) -> Array:
        """Return the micropanels of operands (k, n); a panel holds `pair` rows at a time, column by column."""
        (k, n), (nr, pair) = b.shape, (self.size["nr"], self.size["pair"])
        filled = np.zeros((self.padded_k(k), -(-n // nr) * nr), b.dtype)
        filled[:k, :n] = b
        return np.ascontiguousarray(filled.reshape(-1, pair, filled.shape[1] // nr, nr).transpose(2, 0, 3, 1))

    def near(self, actual: Array, expected: Array, tolerance: float | None = None) -> None:
        limit = (self.tolerance if tolerance is None else tolerance) * np.abs(expected).max()
        np.testing.assert_allclose(actual, expected, rtol=0, atol=limit)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = build.compiler()
    if compiler is None:
        pytest.skip("no C compiler here")
    flags = (*build.FLAGS, "-DTSFCN_TESTING")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "FLAGS", flags)
        return ctypes.CDLL(str(build.compile_library(compiler, tmp_path_factory.mktemp("inside"), "kernels")))


@pytest.fixture(params=TYPES)
def inside(library: ctypes.CDLL, request: pytest.FixtureRequest) -> Inside:
    return Inside(library, request.param)


def windows(rows: Array, length: int, kernel: int) -> Array:
    """Return what a kernel sees at each of `length` positions of (rows, channels): (length, kernel * channels)."""
    return np.stack([rows[t : t + kernel].ravel() for t in range(length)])


def conv(x: Array, weight: Array, rows: int) -> Array:
    """Return y (rows, c_out) of x (timepoints, c_in) and weight (c_out, kernel, c_in), in float64."""
    wide = weight.astype(np.float64).reshape(len(weight), -1)
    return windows(x.astype(np.float64), rows, weight.shape[1]) @ wide.T


# ---------------------------------------------------------------------------------------------------------------------
# Arguments


def test_structs_are_those_of_the_header() -> None:
    """All fields have eight bytes, so the same names in the same order have the same offsets."""
    header = re.sub(r"/\*.*?\*/", "", build.SOURCE.with_name("args.h").read_text(), flags=re.DOTALL)
    structs = dict(re.findall(r"struct (\w+)_args \{(.*?)\};", header, flags=re.DOTALL))
    assert set(structs) == set(c_backend.ARGUMENTS)
    for name, body in structs.items():
        expected = []
        for field in filter(None, map(str.strip, body.split(";"))):
            kind, star, word = re.fullmatch(r"(?:const )?(\w+) (\*?)(\w+)", field).groups()  # type: ignore[union-attr]
            plain = {"int64_t": ctypes.c_int64, "double": ctypes.c_double}
            expected.append((word, ctypes.c_void_p if star else plain[kind]))
        actual = c_backend.ARGUMENTS[name]
        assert list(actual._fields_) == expected
        assert [getattr(actual, word).offset for word, _ in expected] == list(range(0, 8 * len(expected), 8))


def test_structs_of_another_size_are_refused(library: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    c_backend.CBackend(library)
    monkeypatch.setitem(c_backend.ARGUMENTS, "pool", c_backend.LossArgs)
    with pytest.raises(RuntimeError, match=r"pool_args has 96 bytes in args\.h and 120 in c_backend\.py"):
        c_backend.CBackend(library)


# ---------------------------------------------------------------------------------------------------------------------
# Rounding, transposes, packing, products


def test_rounding_is_to_the_nearest_even(inside: Inside) -> None:
    values = np.random.default_rng(0).standard_normal(77).astype(inside.acc)
    values[:6] = [0, -0.0, np.inf, -np.inf, np.nan, 1 + 2.0**-8]  # the last lies between two of bfloat16
    found = np.zeros(77, inside.operand)
    inside.call("round", values, 77, found)
    np.testing.assert_array_equal(inside.values(found), inside.values(inside.operands(values)))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (16, 16), (3, 40), (33, 17), (48, 64)])
def test_transpose(inside: Inside, rows: int, columns: int) -> None:
    values, stride = inside.operands(inside.random(rows, columns)), rows + rows % 2 + 4
    found = np.full((columns, stride), 7, inside.operand)
    inside.call("transpose", values, rows, columns, found, stride)
    np.testing.assert_array_equal(found[:, :rows], values.T)
    assert not found[:, rows:].any()


@pytest.mark.parametrize(("k", "n"), [(1, 1), (5, 32), (8, 33), (31, 70)])
def test_pack(inside: Inside, k: int, n: int) -> None:
    b = inside.operands(inside.random(k, n + 3))
    known = inside.packed(b[:, :n])
    found = np.full_like(known, 7)
    inside.call("pack", b, n + 3, k, n, found)
    np.testing.assert_array_equal(found, known)


@pytest.mark.parametrize(("kernel", "c_in", "c_out"), [(1, 1, 1), (3, 5, 7), (8, 1, 32), (5, 24, 40), (3, 32, 64)])
def test_pack_filters(inside: Inside, kernel: int, c_in: int, c_out: int) -> None:
    weight = inside.random(c_out, kernel, c_in)
    for name, b in (
        ("pack_filters", weight.reshape(c_out, -1).T),
        ("pack_flipped_filters", weight[:, ::-1].transpose(1, 0, 2).reshape(-1, c_in)),
    ):
        known = inside.packed(inside.operands(np.ascontiguousarray(b)))
        found = np.full_like(known, 7)
        inside.call(name, weight, kernel, c_in, c_out, found)
        np.testing.assert_array_equal(found, known)


@pytest.mark.parametrize("m", [1, 2, 5, 14, 29, 40])
@pytest.mark.parametrize(("k", "n", "stride"), [(1, 1, 1), (15, 33, 5), (64, 64, 16), (40, 7, 40)])
def test_gemm_of_overlapping_rows(inside: Inside, m: int, k: int, n: int, stride: int) -> None:
    """The product rounded, as sums, and added to sums; nothing after the left operand is read."""
    a, b = inside.random((m - 1) * stride + k), inside.random(k, n)
    rows = np.stack([a[r * stride : r * stride + k] for r in range(m)])
    known = rows.astype(np.float64) @ b.astype(np.float64)
    words = (m, n, k, inside.operands(a), stride, a.size, inside.packed(inside.operands(b)))
    rounded, sums = np.zeros((m, n), inside.operand), np.ones((m, n), inside.acc)
    inside.call("gemm", *words, rounded, None, 0)
    inside.near(inside.values(rounded), known, 4e-3 if inside.kind == "bfloat16" else None)
    inside.call("gemm", *words, None, sums, 0)
    inside.near(sums, known)
    inside.call("gemm", *words, None, sums, 1)
    inside.near(sums, 2 * known)


@pytest.mark.parametrize(
    ("kernel", "c_in", "c_out"),
    [
        *((8, 1, 24), (1, 3, 5), (4, 31, 33), (5, 64, 40), (3, 128, 7)),  # a timepoint of the kernel after another
        *((5, 24, 40), (4, 7, 33), (8, 2, 128), (8, 3, 24), (7, 6, 5), (2, 33, 16), (9, 1, 3), (3, 65, 12)),  # windows
    ],
)
@pytest.mark.parametrize("rows", [1, 2, 37, 300])
def test_grad_weight(inside: Inside, rows: int, kernel: int, c_in: int, c_out: int) -> None:
    grad_y, x = inside.random(rows, c_out), inside.random(rows + kernel - 1, c_in)
    known = (grad_y.T.astype(np.float64) @ windows(x.astype(np.float64), rows, kernel)).reshape(c_out, kernel, c_in)
    found = np.full((c_out, kernel, c_in), 5, inside.acc)
    for accumulate in (0, 1):
        operands = inside.operands(grad_y), inside.operands(x)
        inside.call("grad_weight_gemm", accumulate, found, rows, kernel, c_in, c_out, *operands)
        inside.near(found, (1 + accumulate) * known)


# ---------------------------------------------------------------------------------------------------------------------
# F(m, r)


def matrix(inside: Inside, name: str, columns: int, rows: int, *count: int) -> Array:
    """Return the matrix of a transform from its results for the unit vectors, which are equal in all lanes."""
    lanes = inside.size["nr"] // 2
    found = []
    for j in range(columns):
        unit, to = np.zeros((columns, lanes), inside.acc), np.full((rows, lanes), np.nan, inside.acc)
        unit[j] = 1
        inside.call(name, *count, unit, to)
        assert (to == to[:, :1]).all()
        found.append(to[:, 0].astype(np.float64))
    return np.stack(found, axis=1)


def matrices(inside: Inside, m: int, r: int) -> tuple[Array, Array, Array]:
    """Return A^T, G and B^T of F(m, r) as in the C code."""
    alpha, points = inside.size["alpha"], inside.size["points"]
    return (
        matrix(inside, "inverse_transform", points, m, m),
        matrix(inside, "filter_transform", r, points, r),
        matrix(inside, "data_transform", alpha, points),
    )


class Root:
    """An exact number a + b z + c z^2 + d z^3, where z is the first eighth root of unity, so that z^4 = -1."""

    def __init__(self, *parts: Fraction | int) -> None:
        self.parts = tuple(map(Fraction, (*parts, 0, 0, 0, 0)[:4]))

    def __add__(self, other: Root) -> Root:
        return Root(*(a + b for a, b in zip(self.parts, other.parts, strict=True)))

    def __mul__(self, other: Root) -> Root:
        found = [Fraction(0)] * 4
        for i, a in enumerate(self.parts):
            for j, b in enumerate(other.parts):
                found[(i + j) % 4] += a * b * (-1) ** ((i + j) // 4)
        return Root(*found)

    def __complex__(self) -> complex:
        a, b, c, d = map(float, self.parts)
        half = 2**-0.5
        return complex(a + (b - d) * half, c + (b + d) * half)


def power(base: Root, exponent: int) -> Root:
    found = Root(1)
    for _ in range(exponent):
        found = found * base
    return found


def times_linear(polynomial: list[Root], root: Root) -> list[Root]:
    """Return polynomial * (x - root), coefficients from the lowest on."""
    raised, kept = [Root(0), *polynomial], [*polynomial, Root(0)]
    return [a + Root(-1) * root * b for a, b in zip(raised, kept, strict=True)]


def derived(points: list[Root], m: int, r: int) -> tuple[list[list[Root]], list[list[Root]], list[list[Root]]]:
    """Derive A^T, G and B^T of F(m, r) at points and infinity, by Lagrange's interpolation (Toom 1963, Cook 1966).

    G lacks the factor 1 / N(p), where N(p), the product of p's differences to all other points, is `scale`.
    """
    a_t = [[power(p, i) for p in points] + [Root(int(i == m - 1))] for i in range(m)]
    g = [[power(p, j) for j in range(r)] for p in points] + [[Root(int(j == r - 1)) for j in range(r)]]
    b_t = []
    for p in [*points, None]:
        polynomial = [Root(1)]
        for q in points:
            if q is not p:
                polynomial = times_linear(polynomial, q)
        b_t.append(polynomial + [Root(0)] * (m + r - 1 - len(polynomial)))
    return a_t, g, b_t


def scale(points: list[Root], p: Root) -> Root:
    """Return N(p)."""
    found = Root(1)
    for q in points:
        if q is not p:
            found = found * (p + Root(-1) * q)
    return found


def numbers(rows: list[list[Root]]) -> Array:
    return np.array([[complex(value) for value in row] for row in rows])


REAL = [Root(Fraction(p)) for p in ("0", "1", "-1", "2", "-2", "1/2", "-1/2")]


@pytest.mark.parametrize("r", range(3, 7))
def test_constants_at_real_points_are_those_derived(library: ctypes.CDLL, r: int) -> None:
    inside = Inside(library, "float64")
    m = 9 - r
    a_t, g, b_t = (numbers(rows).real for rows in derived(REAL, m, r))
    g[:-1] /= numbers([[scale(REAL, p)] for p in REAL]).real
    for actual, expected in zip(matrices(inside, m, r), (a_t, g, b_t), strict=True):
        np.testing.assert_allclose(actual, expected, rtol=1e-15, atol=0)


@pytest.mark.parametrize("r", range(3, 9))
def test_constants_at_roots_of_unity_are_those_derived(library: ctypes.CDLL, r: int) -> None:
    """Of a root and its conjugate only one is computed, by three real products.

    With X = (G g) at a root, without its factor, and Y = c + i s, the conjugate of (B^T d) there, the output is the sum
    of 2 Re(p^i X conj(Y)) / N over such roots. conj(X) Y takes the products Re X (c - s), -Im X (c + s) and
    (Re X + Im X) s: its real part is the first plus the third, its imaginary part the second plus the third.
    """
    inside = Inside(library, "bfloat16")
    m = 11 - r
    z = Root(0, 1)
    roots = [power(z, k) for k in range(8)]
    points = [Root(0), *roots]
    exact = derived(points, m, r)
    a_t, g, b_t = (numbers(rows) for rows in exact)
    at = {k: 1 + k for k in range(8)}  # row of a root's power k
    scales = [complex(scale(points, p)) for p in points]
    np.testing.assert_allclose(scales, [-1] + [8] * 8, atol=1e-12)
    known_a, known_g, known_b = [], [], []
    for k in (0, 4):
        known_a.append(a_t[:, at[k]].real)
        known_g.append(g[at[k]].real / 8)
        known_b.append(b_t[at[k]].real)
    for k in (2, 1, 3):
        x, y, p = g[at[k]] * 2 / 8, b_t[at[k]].conj(), a_t[:, at[k]]
        known_g += [x.real, -x.imag, x.real + x.imag]
        known_b += [y.real - y.imag, y.real + y.imag, y.imag]
        known_a += [p.real, p.imag, p.real + p.imag]
    known_a += [a_t[:, 0].real, a_t[:, -1].real]
    known_g += [g[0].real, g[-1].real]  # at 0 the factor -1 is in B^T
    known_b += [-b_t[0].real, b_t[-1].real]
    known = (np.stack(known_a, axis=1), np.stack(known_g), np.stack(known_b))
    for actual, expected in zip(matrices(inside, m, r), known, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=0, atol=2e-7)
    d, weights = np.random.default_rng(0).standard_normal(10), np.random.default_rng(1).standard_normal(r)
    outputs = known[0] @ ((known[1] @ weights) * (known[2] @ d))
    np.testing.assert_allclose(outputs, np.correlate(d, weights, "valid"), atol=1e-12)


def kernels_of(inside: Inside) -> range:
    return range(inside.size["min_r"], inside.size["max_r"] + 1)


def test_fast_convolution(inside: Inside) -> None:
    """Forward, and with flipped filters, as for the gradient of the input; the last tile is incomplete."""
    nr = inside.size["nr"]
    for r in kernels_of(inside):
        for c_in, c_out in ((nr, 2 * nr), (2 * nr, nr)):
            m, rows = inside.size["alpha"] + 1 - r, 41
            x = inside.random(rows + r - 1 + m - 1, c_in)
            weight = inside.random(c_out, r, c_in) / np.sqrt(inside.acc(r * c_in))
            flipped = np.ascontiguousarray(weight[:, ::-1].transpose(2, 1, 0))
            known = conv(x, weight, rows)
            for is_flipped, filters in ((0, weight), (1, flipped)):
                y = np.zeros((rows, c_out), inside.operand)
                inside.call("winograd_conv", rows, r, c_in, c_out, x, filters, is_flipped, y)
                inside.near(inside.values(y), known, {"float32": 3e-6, "float64": 1e-14, "bfloat16": 2e-2}[inside.kind])


def test_fast_gradient_of_weights(inside: Inside) -> None:
    nr = inside.size["nr"]
    for r in kernels_of(inside):
        m, rows, c_in, c_out = inside.size["alpha"] + 1 - r, 41, nr, 2 * nr
        x, grad_y = inside.random(rows + r - 1 + m - 1, c_in), inside.random(rows + m - 1, c_out)
        grad_y[rows:] = 0
        wide = windows(x.astype(np.float64), rows, r)
        known = (grad_y[:rows].T.astype(np.float64) @ wide).reshape(c_out, r, c_in)
        found = np.zeros((c_out, r, c_in), inside.acc)
        inside.call("winograd_grad_weight", rows, r, c_in, c_out, grad_y, x, found)
        inside.near(found, known, {"float32": 3e-6, "float64": 1e-14, "bfloat16": 2e-2}[inside.kind])
