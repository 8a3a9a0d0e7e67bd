/* Shrinks decoded pixels to the 8x8 grey picture of an average hash, in the arithmetic of Pillow 13, to the bit: see
 * docs/adr/0012-fast-hash.md.
 *
 * Grey is ITU-R 601-2 in 16 bits of fraction. Each axis is resampled with a Lanczos window of three lobes whose weights
 * are rounded to 22 bits of fraction, and the result of the first axis is rounded to 8 bits before the second.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define SIDE 8
#define LOBES 3.0
#define FRACTION 22           /* bits of fraction of a weight */
#define HALF (1 << (FRACTION - 1))
#define LOW 12                /* bits of a weight in its lower half, where one has two */
#define BLOCK 16              /* weights that are applied at a time */
#define LONGEST 65535         /* the longest side of a JPEG */

static const char AXIS_NAME[] = "worker.core._fasthash.axis";

#if defined(__GNUC__)
#define INLINED static inline __attribute__((always_inline))
#else
#define INLINED static inline
#endif

/* Some loops are written twice: for any processor, and for those of x86-64 since 2013. */
#if defined(__GNUC__) && defined(__x86_64__)
#define FOR_AVX2 __attribute__((target("avx2")))
#include <immintrin.h>
#endif

/* The pixels of one axis that make one pixel of the result, `count` of them from `first` on.
 *
 * A weight is `low[j] + (high[j] << LOW)`: products of 16 bits are several times as fast as those of 32. Weights of zero
 * fill up the last of the `blocks`, so a row needs room for `BLOCK` pixels more.
 */
typedef struct {
    int first;
    int count;
    int blocks;
    int16_t *low;
    int16_t *high;
} Window;

/* How `size` pixels become `SIDE`. */
typedef struct {
    int size;
    int halved; /* whether there is a weight that needs `high` */
    Window windows[SIDE];
    int16_t room[];
} Axis;

static double
sinc(double x) {
    if (x == 0.0) {
        return 1.0;
    }
    x *= M_PI;
    return sin(x) / x;
}

static double
lanczos(double x) {
    return -LOBES <= x && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0.0;
}

static int32_t
to_fixed(double weight) {
    weight *= 1 << FRACTION;
    return (int32_t)(weight < 0 ? weight - 0.5 : weight + 0.5);
}

/* Weigh the pixels of a window around `center`. */
static void
weigh(const Window *window, double center, double stretch, double *exact, int32_t *weights) {
    double sum = 0.0;
    double inverse = 1.0 / stretch;

    for (ptrdiff_t j = 0; j < window->count; j++) {
        exact[j] = lanczos((j + window->first - center + 0.5) * inverse);
        sum += exact[j];
    }
    for (ptrdiff_t j = 0; j < window->count; j++) {
        weights[j] = to_fixed(sum != 0.0 ? exact[j] / sum : exact[j]);
    }
}

/* Set `low` and `high` of an axis whose windows have `most` weights each, and note whether `high` is needed.
 *
 * No sum of products overflows 32 bits: the weights of a window amount to less than 1.7 in absolute terms, and where
 * one of them is so large that it needs `high`, the window has under a thousand.
 */
static void
halve(Axis *axis, const int32_t *weights, size_t most) {
    axis->halved = 0;
    for (int i = 0; i < SIDE; i++) {
        for (ptrdiff_t j = 0; j < axis->windows[i].count; j++) {
            int32_t weight = weights[i * most + j];
            axis->halved |= weight < INT16_MIN || weight > INT16_MAX;
        }
    }
    for (int i = 0; i < SIDE; i++) {
        const Window *window = &axis->windows[i];
        for (ptrdiff_t j = 0; j < window->count; j++) {
            int32_t weight = weights[i * most + j];
            int32_t low = axis->halved ? (weight & ((1 << LOW) - 1)) : weight;
            window->low[j] = (int16_t)low;
            window->high[j] = (int16_t)((weight - low) / (1 << LOW));
        }
    }
}

static Axis *
new_axis(int size) {
    double scale = (double)size / SIDE;
    double stretch = scale < 1.0 ? 1.0 : scale;
    double support = LOBES * stretch;
    size_t most = ((size_t)ceil(support) * 2 + 1 + BLOCK) / BLOCK * BLOCK;
    Axis *axis = calloc(1, sizeof *axis + 2 * SIDE * most * sizeof *axis->room);
    int32_t *weights = malloc(SIDE * most * sizeof *weights);
    double *exact = malloc(most * sizeof *exact);

    if (axis == NULL || weights == NULL || exact == NULL) {
        free(axis);
        axis = NULL;
        goto done;
    }
    axis->size = size;
    for (int i = 0; i < SIDE; i++) {
        Window *window = &axis->windows[i];
        double center = (i + 0.5) * scale;
        int first = (int)(center - support + 0.5);
        int end = (int)(center + support + 0.5);
        window->first = first < 0 ? 0 : first;
        window->count = (end > size ? size : end) - window->first;
        window->blocks = (window->count + BLOCK - 1) / BLOCK;
        window->low = axis->room + 2 * i * most;
        window->high = window->low + most;
        weigh(window, center, stretch, exact, weights + i * most);
    }
    halve(axis, weights, most);
done:
    free(weights);
    free(exact);
    return axis;
}

INLINED uint8_t
to_pixel(int32_t sum) {
    sum >>= FRACTION;
    return sum < 0 ? 0 : sum > UINT8_MAX ? UINT8_MAX : (uint8_t)sum;
}

typedef void to_grey(const uint8_t *restrict pixels, int channels, ptrdiff_t width, int16_t *restrict grey);
typedef int32_t weighted_sum(const int16_t *restrict row, const Window *window, int halved);

INLINED int16_t
grey_of(const uint8_t *pixel) {
    return (int16_t)((pixel[0] * 19595u + pixel[1] * 38470u + pixel[2] * 7471u + 0x8000u) >> 16);
}

INLINED void
to_grey_anywhere(const uint8_t *restrict pixels, int channels, ptrdiff_t width, int16_t *restrict grey) {
    if (channels == 1) {
        for (ptrdiff_t x = 0; x < width; x++) {
            grey[x] = pixels[x];
        }
    } else {
        for (ptrdiff_t x = 0; x < width; x++) {
            grey[x] = grey_of(pixels + 3 * x);
        }
    }
}

INLINED int32_t
weighted_sum_anywhere(const int16_t *restrict row, const Window *window, int halved) {
    int32_t low = 0, high = 0;

    for (ptrdiff_t j = 0; j < (ptrdiff_t)window->blocks * BLOCK; j++) {
        low += row[j] * window->low[j];
    }
    for (ptrdiff_t j = 0; halved && j < (ptrdiff_t)window->blocks * BLOCK; j++) {
        high += row[j] * window->high[j];
    }
    return low + high * (1 << LOW);
}

#ifdef FOR_AVX2
/* Grey of 8 pixels, as 32 bits each, from 28 bytes. */
FOR_AVX2 INLINED __m256i
grey_of_8(const uint8_t *pixels) {
    const __m256i red_and_blue = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 2, -1, 3, -1, 5, -1, 6, -1, 8, -1, 9, -1, 11, -1));
    const __m256i green_twice = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(1, -1, 1, -1, 4, -1, 4, -1, 7, -1, 7, -1, 10, -1, 10, -1));
    __m256i rgb = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)pixels)),
                                          _mm_loadu_si128((const __m128i *)(pixels + 12)), 1);
    __m256i sum = _mm256_add_epi32(
        _mm256_madd_epi16(_mm256_shuffle_epi8(rgb, red_and_blue), _mm256_set1_epi32(7471 << 16 | 19595)),
        _mm256_madd_epi16(_mm256_shuffle_epi8(rgb, green_twice), _mm256_set1_epi16(38470 / 2)));
    return _mm256_srli_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(0x8000)), 16);
}

FOR_AVX2 INLINED void
to_grey_avx2(const uint8_t *restrict pixels, int channels, ptrdiff_t width, int16_t *restrict grey) {
    ptrdiff_t x = 0;

    /* Two pixels more than it takes, for it reads four bytes beyond the last. */
    for (; channels == 3 && x + 18 <= width; x += 16) {
        __m256i packed = _mm256_packus_epi32(grey_of_8(pixels + 3 * x), grey_of_8(pixels + 3 * x + 24));
        _mm256_storeu_si256((__m256i *)(grey + x), _mm256_permute4x64_epi64(packed, _MM_SHUFFLE(3, 1, 2, 0)));
    }
    to_grey_anywhere(pixels + channels * x, channels, width - x, grey + x);
}

FOR_AVX2 INLINED int32_t
weighted_sum_avx2(const int16_t *restrict row, const Window *window, int halved) {
    __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();

    for (ptrdiff_t j = 0; j < (ptrdiff_t)window->blocks * BLOCK; j += BLOCK) {
        __m256i pixels = _mm256_loadu_si256((const __m256i *)(row + j));
        low = _mm256_add_epi32(low, _mm256_madd_epi16(pixels, _mm256_loadu_si256((const __m256i *)(window->low + j))));
        if (halved) {
            high = _mm256_add_epi32(
                high, _mm256_madd_epi16(pixels, _mm256_loadu_si256((const __m256i *)(window->high + j))));
        }
    }
    low = _mm256_add_epi32(low, _mm256_slli_epi32(high, LOW));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
    return _mm_cvtsi128_si32(_mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1))));
}
#endif

/* Shrink a row to `SIDE` pixels. */
INLINED void
shrink_row(const int16_t *row, const Axis *axis, weighted_sum *sum_of, int16_t *out) {
    for (int i = 0; i < SIDE; i++) {
        const Window *window = &axis->windows[i];
        out[i] = axis->size == SIDE ? row[i] : to_pixel(HALF + sum_of(row + window->first, window, axis->halved));
    }
}

/* What a row counts in row `i` of the result. */
INLINED int32_t
weight_of(int y, const Axis *axis, int i) {
    const Window *window = &axis->windows[i];
    ptrdiff_t j = (ptrdiff_t)y - window->first;

    if (axis->size == SIDE) {
        return (y == i) << FRACTION;
    }
    return j >= 0 && j < window->count ? window->low[j] + window->high[j] * (1 << LOW) : 0;
}

/* Add row `y` to the sums of those of the `SIDE` rows of the result that it is part of. */
INLINED void
add_row(const int16_t *restrict row, ptrdiff_t width, int y, const Axis *axis, int32_t *restrict sums) {
    for (int i = 0; i < SIDE; i++) {
        int32_t weight = weight_of(y, axis, i);
        if (weight != 0) {
            for (ptrdiff_t x = 0; x < width; x++) {
                sums[i * width + x] += row[x] * weight;
            }
        }
    }
}

/* Pillow 13 begins with the axis that leaves it less to do. */
static int
down_first(const Axis *across, const Axis *down) {
    return down->size > SIDE && down->size - SIDE > 2 * (across->size - SIDE);
}

typedef struct {
    const uint8_t *pixels;
    int channels;
    const Axis *across;
    const Axis *down;
    int16_t *row;  /* room for a row and `BLOCK` pixels more, all zero */
    int32_t *sums; /* room for `SIDE` rows, of `SIDE` pixels at the least */
    uint8_t out[SIDE * SIDE];
} Picture;

INLINED void
shrink_with(Picture *picture, to_grey *make_grey, weighted_sum *sum_of) {
    const Axis *across = picture->across, *down = picture->down;
    int late = down_first(across, down); /* whether rows are shrunk after they were added up */
    ptrdiff_t width = late ? across->size : SIDE;
    int16_t *row = picture->row, shrunk[SIDE];

    for (ptrdiff_t i = 0; i < SIDE * width; i++) {
        picture->sums[i] = HALF;
    }
    for (int y = 0; y < down->size; y++) {
        make_grey(picture->pixels + (size_t)y * across->size * picture->channels, picture->channels, across->size, row);
        if (late) {
            add_row(row, width, y, down, picture->sums);
        } else {
            shrink_row(row, across, sum_of, shrunk);
            add_row(shrunk, SIDE, y, down, picture->sums);
        }
    }
    for (int i = 0; i < SIDE; i++) {
        for (ptrdiff_t x = 0; x < width; x++) {
            row[x] = to_pixel(picture->sums[i * width + x]);
        }
        if (late) {
            shrink_row(row, across, sum_of, shrunk);
        }
        for (int x = 0; x < SIDE; x++) {
            picture->out[i * SIDE + x] = (uint8_t)(late ? shrunk[x] : row[x]);
        }
    }
}

static void
shrink_anywhere(Picture *picture) {
    shrink_with(picture, to_grey_anywhere, weighted_sum_anywhere);
}

#ifdef FOR_AVX2
FOR_AVX2 static void
shrink_avx2(Picture *picture) {
    shrink_with(picture, to_grey_avx2, weighted_sum_avx2);
}
#endif

static void
shrink(Picture *picture, int anywhere) {
#ifdef FOR_AVX2
    if (!anywhere && __builtin_cpu_supports("avx2")) {
        shrink_avx2(picture);
        return;
    }
#endif
    (void)anywhere;
    shrink_anywhere(picture);
}

static void
free_axis(PyObject *capsule) {
    free(PyCapsule_GetPointer(capsule, AXIS_NAME));
}

PyDoc_STRVAR(axis_doc,
             "axis($module, size, /)\n--\n\n"
             "Compute how a side of 1 to 65,535 pixels becomes one of 8. ValueError: no such side.");

static PyObject *
axis(PyObject *Py_UNUSED(module), PyObject *argument) {
    long size = PyLong_AsLong(argument);

    if (size == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (size < 1 || size > LONGEST) {
        return PyErr_Format(PyExc_ValueError, "a side has 1 to %d pixels, not %ld", LONGEST, size);
    }
    Axis *made = new_axis((int)size);
    if (made == NULL) {
        return PyErr_NoMemory();
    }
    PyObject *capsule = PyCapsule_New(made, AXIS_NAME, free_axis);
    if (capsule == NULL) {
        free(made);
    }
    return capsule;
}

static PyObject *
thumbnail_of(Picture *picture, Py_ssize_t bytes, int anywhere) {
    const int width = picture->across->size, height = picture->down->size;

    if (picture->channels != 1 && picture->channels != 3) {
        return PyErr_Format(PyExc_ValueError, "a pixel has 1 or 3 channels, not %d", picture->channels);
    }
    if (bytes / picture->channels / width < height) {
        return PyErr_Format(PyExc_ValueError, "%zd bytes are no picture of %dx%d pixels of %d channels", bytes, width,
                            height, picture->channels);
    }
    PyObject *made = NULL;
    size_t room = width < SIDE ? SIDE : (size_t)width;
    picture->row = calloc(room + BLOCK, sizeof *picture->row);
    picture->sums = malloc(SIDE * room * sizeof *picture->sums);
    if (picture->row == NULL || picture->sums == NULL) {
        PyErr_NoMemory();
    } else {
        Py_BEGIN_ALLOW_THREADS
        shrink(picture, anywhere);
        Py_END_ALLOW_THREADS
        made = PyBytes_FromStringAndSize((char *)picture->out, sizeof picture->out);
    }
    free(picture->row);
    free(picture->sums);
    return made;
}

PyDoc_STRVAR(thumbnail_doc,
             "thumbnail($module, pixels, channels, across, down, anywhere=False, /)\n--\n\n"
             "Shrink a picture to 8x8 grey pixels, 64 bytes row by row, as\n"
             "`image.convert(\"L\").resize((8, 8), Image.Resampling.LANCZOS)` does. Other threads run meanwhile.\n\n"
             "`pixels` are rows without gaps, of 8 bits a channel, with 1 channel for grey or 3 for RGB; `across` and\n"
             "`down` are the axes of width and height; `anywhere` takes the loops for any processor, for tests.\n"
             "ValueError: another number of channels, or too few pixels.");

static PyObject *
thumbnail(PyObject *Py_UNUSED(module), PyObject *arguments) {
    Py_buffer pixels;
    Picture picture = {0};
    int anywhere = 0;
    PyObject *across, *down;
    PyObject *made = NULL;

    if (!PyArg_ParseTuple(arguments, "y*iOO|p:thumbnail", &pixels, &picture.channels, &across, &down, &anywhere)) {
        return NULL;
    }
    picture.pixels = pixels.buf;
    picture.across = PyCapsule_GetPointer(across, AXIS_NAME);
    picture.down = picture.across == NULL ? NULL : PyCapsule_GetPointer(down, AXIS_NAME);
    if (picture.down != NULL) {
        made = thumbnail_of(&picture, pixels.len, anywhere);
    }
    PyBuffer_Release(&pixels);
    return made;
}

static PyMethodDef methods[] = {
    {"axis", axis, METH_O, axis_doc},
    {"thumbnail", thumbnail, METH_VARARGS, thumbnail_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_fasthash",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__fasthash(void) {
    return PyModuleDef_Init(&definition);
}
