/* Transforms of the fast convolutions F(m, r), after Toom, Cook and Winograd (Winograd 1980; Lavin and Gray 2016).

   F(m, r) computes m outputs of a convolution with r timepoints from a tile of ALPHA = m + r - 1 inputs by

     y = A^T [(G g) * (B^T d)]

   with g the filter, d the data and * the elementwise product: POINTS products instead of m * r. Each of these products
   is a matrix product over the channels. ALPHA and the points are the same for every r, so B^T is always the same. G
   has as many columns as the filter has timepoints, and A^T has as many rows as there are outputs.

     filter_transform    G g: the values of a polynomial with coefficients g at the points, with the factors that
                         interpolation needs
     data_transform      B^T d: the transpose of interpolation
     inverse_transform   A^T times the products: the transpose of evaluation

   The gradient of the input is a convolution of grad_y with the flipped filters, F(m, r). The gradient of the filter is
   a convolution of the input with m rows of grad_y, F(r, m): these rows are transformed by G with m columns, the result
   by A^T with r rows.

   If PAIR is 1, the points are 0, 1, -1, 2, -2, 1/2, -1/2 and infinity, which stands for the last coefficient.
   Otherwise they are the eighth roots of unity, 0 and infinity. Of the roots only 1, -1 and three complex ones are
   computed, since the others are their conjugates. A complex product takes three real ones, so there are 13 products
   for 10 inputs. In return, the rounding errors are a third of those at the real points, which bfloat16 needs.

   A transform processes LANES channels at a time. Values of one timepoint and the next are `stride` apart. */

#if PAIR == 1
/* to (POINTS) = G g, for a filter of `count` timepoints. */
ALWAYS_INLINE void FN(filter_transform)(const int count, const acc_t *from, int64_t stride, vec_t *to)
{
    vec_t g[POINTS];
#pragma GCC unroll 8
    for (int j = 0; j < count; j++)
        g[j] = *(const vec_t *)(from + j * stride);
    to[0] = -g[0];
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        vec_t even = g[0], odd = POINT(i) * g[1];
        acc_t power = POINT(i);
#pragma GCC unroll 8
        for (int j = 2; j < count; j++) {
            power *= POINT(i);
            if (j % 2)
                odd += power * g[j];
            else
                even += power * g[j];
        }
        to[1 + 2 * i] = (even + odd) * SCALE(i);
        to[2 + 2 * i] = (even - odd) * SCALE(i);
    }
    to[7] = g[count - 1];
}

/* to (POINTS) = B^T d, for a tile of ALPHA inputs. */
ALWAYS_INLINE void FN(data_transform)(const acc_t *from, int64_t stride, vec_t *to)
{
    vec_t d[ALPHA];
#pragma GCC unroll 8
    for (int j = 0; j < ALPHA; j++)
        d[j] = *(const vec_t *)(from + j * stride);
    to[0] = d[6] - d[0] + (acc_t)5.25 * (d[2] - d[4]);
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        vec_t even = d[6] + PRODUCT(i) * d[2] - SQUARES(i) * d[4];
        vec_t odd = POINT(i) * (d[5] + PRODUCT(i) * d[1] - SQUARES(i) * d[3]);
        to[1 + 2 * i] = even + odd;
        to[2 + 2 * i] = even - odd;
    }
    to[7] = d[7] - d[1] + (acc_t)5.25 * (d[3] - d[5]);
}

/* y (count) = A^T times POINTS products. */
ALWAYS_INLINE void FN(inverse_transform)(const int count, const acc_t *products, int64_t stride, vec_t *y)
{
#pragma GCC unroll 8
    for (int j = 0; j < count; j++)
        y[j] = (vec_t){0};
    y[0] = *(const vec_t *)products;
    y[count - 1] = *(const vec_t *)(products + 7 * stride);
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        vec_t one = *(const vec_t *)(products + (1 + 2 * i) * stride);
        vec_t other = *(const vec_t *)(products + (2 + 2 * i) * stride);
        vec_t even = one + other, odd = one - other;
        acc_t power = 1;
#pragma GCC unroll 8
        for (int j = 0; j < count; j++, power *= POINT(i))
            y[j] += power * (j % 2 ? odd : even);
    }
}
#else
/* The i-th of `count` coefficients, plus `sign` times the coefficient four places later, whose power of the root of
   unity differs by this sign. */
ALWAYS_INLINE vec_t FN(fold)(const int count, const vec_t *coefficients, const int i, const acc_t sign)
{
    if (i >= count)
        return (vec_t){0};
    if (i + 4 >= count)
        return coefficients[i];
    return coefficients[i] + sign * coefficients[i + 4];
}

/* The values of a polynomial with count <= 8 coefficients at the eighth roots of unity: at 1 and at -1, then the real
   and imaginary parts at the second, the first and the third power of the first root. */
ALWAYS_INLINE void FN(at_roots)(const int count, const vec_t *coefficients, vec_t *values)
{
    vec_t even = FN(fold)(count, coefficients, 0, 1), even_2 = FN(fold)(count, coefficients, 2, 1);
    vec_t odd = FN(fold)(count, coefficients, 1, 1), odd_2 = FN(fold)(count, coefficients, 3, 1);
    vec_t real = FN(fold)(count, coefficients, 0, -1), imaginary = FN(fold)(count, coefficients, 2, -1);
    vec_t first = FN(fold)(count, coefficients, 1, -1), third = FN(fold)(count, coefficients, 3, -1);
    vec_t difference = (acc_t)HALF_ROOT * (first - third), sum = (acc_t)HALF_ROOT * (first + third);
    values[0] = even + even_2 + (odd + odd_2);
    values[1] = even + even_2 - (odd + odd_2);
    values[2] = even - even_2;
    values[3] = odd - odd_2;
    values[4] = real + difference;
    values[5] = sum + imaginary;
    values[6] = real - difference;
    values[7] = sum - imaginary;
}

/* to (POINTS) = G g. A complex value is stored as its real part, its negated imaginary part, and the sum of its real
   and imaginary parts. data_transform computes the three factors for these, and inverse_transform the sums of the three
   products that give a complex product. */
ALWAYS_INLINE void FN(filter_transform)(const int count, const acc_t *from, int64_t stride, vec_t *to)
{
    vec_t g[8], values[8];
#pragma GCC unroll 8
    for (int j = 0; j < count; j++)
        g[j] = *(const vec_t *)(from + j * stride);
    to[11] = g[0];
    to[12] = g[count - 1];
    FN(at_roots)(count, g, values);
    to[0] = (acc_t)0.125 * values[0];
    to[1] = (acc_t)0.125 * values[1];
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        vec_t real = (acc_t)0.25 * values[2 + 2 * i], imaginary = (acc_t)0.25 * values[3 + 2 * i];
        to[2 + 3 * i] = real;
        to[3 + 3 * i] = -imaginary;
        to[4 + 3 * i] = real + imaginary;
    }
}

/* to (POINTS) = B^T d. */
ALWAYS_INLINE void FN(data_transform)(const acc_t *from, int64_t stride, vec_t *to)
{
    vec_t d[ALPHA], values[8];
#pragma GCC unroll 10
    for (int j = 0; j < ALPHA; j++)
        d[j] = *(const vec_t *)(from + j * stride);
    to[11] = d[0] - d[8];
    to[12] = d[9] - d[1];
    d[0] = d[8];
    FN(at_roots)(8, d, values);
    to[0] = values[0];
    to[1] = values[1];
#pragma GCC unroll 3
    for (int i = 0; i < 3; i++) {
        vec_t cosine = values[2 + 2 * i], sine = values[3 + 2 * i];
        to[2 + 3 * i] = cosine - sine;
        to[3 + 3 * i] = cosine + sine;
        to[4 + 3 * i] = sine;
    }
}

/* y (count) = A^T times POINTS products. */
ALWAYS_INLINE void FN(inverse_transform)(const int count, const acc_t *products, int64_t stride, vec_t *y)
{
#define AT(i) (*(const vec_t *)(products + (i) * stride))
    vec_t plus = AT(0) + AT(1), minus = AT(0) - AT(1), second = AT(4);
    vec_t real = AT(2) + second, imaginary = AT(3) + second;
    vec_t first = AT(7), third = AT(10), first_real = AT(5) + first, first_imaginary = AT(6) + first;
    vec_t third_real = AT(8) + third, third_imaginary = AT(9) + third;
    vec_t even = plus + real, reals = first_real + third_real, even_2 = plus - real;
    vec_t imaginaries = first_imaginary - third_imaginary, odd = minus + imaginary, odd_2 = minus - imaginary;
    vec_t diff = (acc_t)HALF_ROOT * (first_real - third_real);
    vec_t imag = (acc_t)HALF_ROOT * (first_imaginary + third_imaginary);
    vec_t all[8] = {even + reals, odd + (imag + diff), even_2 + imaginaries, odd_2 + (imag - diff),
                    even - reals, odd - (imag + diff), even_2 - imaginaries, odd_2 - (imag - diff)};
#pragma GCC unroll 8
    for (int j = 0; j < count; j++)
        y[j] = all[j];
    y[0] += AT(11);
    y[count - 1] += AT(12);
#undef AT
}
#endif

/* Store LANES values as operands side by side; store_pairs interleaves those of two vectors. */
#if PAIR == 1
ALWAYS_INLINE void FN(store_operands)(vec_t values, operand_t *to)
{
    *(vec_t *)to = values;
}
#elif defined(__AVX512BF16__)
ALWAYS_INLINE void FN(store_operands)(vec_t values, operand_t *to)
{
    _mm256_storeu_si256((__m256i_u *)to, (__m256i)_mm512_cvtneps_pbh((__m512)values));
}

ALWAYS_INLINE void FN(store_pairs)(vec_t values, vec_t others, operand_t *to)
{
    __m512i one = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)values));
    __m512i other = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh((__m512)others));
    _mm512_storeu_si512(to, _mm512_or_si512(one, _mm512_slli_epi32(other, 16)));
}
#else
/* The bits rounded to nearest, ties to even, in the upper half: right for numbers and for the NaN of arithmetic. */
ALWAYS_INLINE FN(bits) FN(rounded_bits)(vec_t values)
{
    FN(bits) bits = (FN(bits))values;
    return bits + 0x7fff + (bits >> 16 & 1);
}

ALWAYS_INLINE void FN(store_operands)(vec_t values, operand_t *to)
{
    typedef uint16_t halves __attribute__((vector_size(VECTOR_BYTES / 2), aligned(2), may_alias));
    *(halves *)to = __builtin_convertvector(FN(rounded_bits)(values) >> 16, halves);
}

ALWAYS_INLINE void FN(store_pairs)(vec_t values, vec_t others, operand_t *to)
{
    *(FN(bits) *)to = FN(rounded_bits)(values) >> 16 | (FN(rounded_bits)(others) & 0xffff0000);
}
#endif
