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
#define LONGEST 65535         /* the longest side of a JPEG */

static const char AXIS_NAME[] = "worker.core._fasthash.axis";

/* On x86-64 the compiler makes two versions of the loops, and the loader takes the one that the processor has. The other
 * platforms, and sanitizers, which do not get on with that, have what the compiler's flags say. */
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(ONE_VERSION)
#define FOR_EACH_PROCESSOR __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_PROCESSOR
#endif
#if defined(__GNUC__)
#define INLINED static inline __attribute__((always_inline))
#else
#define INLINED static inline
#endif

/* The pixels of one axis that make one pixel of the result, `count` of them from `first` on.
 *
 * A weight is `low[j] + (high[j] << LOW)`: products of 16 bits are several times as fast as those of 32.
 */
typedef struct {
    int first;
    int count;
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
    size_t most = (size_t)ceil(support) * 2 + 1;
    Axis *axis = malloc(sizeof *axis + 2 * SIDE * most * sizeof *axis->room);
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

INLINED void
to_grey(const uint8_t *restrict pixels, int channels, ptrdiff_t width, int16_t *restrict grey) {
    if (channels == 1) {
        for (ptrdiff_t x = 0; x < width; x++) {
            grey[x] = pixels[x];
        }
    } else {
        for (ptrdiff_t x = 0; x < width; x++) {
            grey[x] = (int16_t)((pixels[3 * x] * 19595u + pixels[3 * x + 1] * 38470u + pixels[3 * x + 2] * 7471u
                                 + 0x8000u) >> 16);
        }
    }
}

INLINED int32_t
dot(const int16_t *restrict some, const int16_t *restrict others, ptrdiff_t count) {
    int32_t sum = 0;

    for (ptrdiff_t j = 0; j < count; j++) {
        sum += some[j] * others[j];
    }
    return sum;
}

/* Shrink a row to `SIDE` pixels. */
INLINED void
shrink_row(const int16_t *row, const Axis *axis, int16_t *out) {
    if (axis->size == SIDE) {
        for (int i = 0; i < SIDE; i++) {
            out[i] = row[i];
        }
        return;
    }
    for (int i = 0; i < SIDE; i++) {
        const Window *window = &axis->windows[i];
        int32_t sum = HALF + dot(row + window->first, window->low, window->count);
        if (axis->halved) {
            sum += dot(row + window->first, window->high, window->count) * (1 << LOW);
        }
        out[i] = to_pixel(sum);
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

/* Shrink a picture. `row` has room for a row, `sums` for `SIDE` of them, and for `SIDE` pixels at the least. */
FOR_EACH_PROCESSOR static void
shrink(const uint8_t *pixels, int channels, const Axis *across, const Axis *down, int16_t *row, int32_t *sums,
       uint8_t *out) {
    int late = down_first(across, down); /* whether rows are shrunk after they were added up */
    ptrdiff_t width = late ? across->size : SIDE;
    int16_t shrunk[SIDE];

    for (ptrdiff_t i = 0; i < SIDE * width; i++) {
        sums[i] = HALF;
    }
    for (int y = 0; y < down->size; y++) {
        to_grey(pixels + (size_t)y * across->size * channels, channels, across->size, row);
        if (late) {
            add_row(row, width, y, down, sums);
        } else {
            shrink_row(row, across, shrunk);
            add_row(shrunk, SIDE, y, down, sums);
        }
    }
    for (int i = 0; i < SIDE; i++) {
        for (ptrdiff_t x = 0; x < width; x++) {
            row[x] = to_pixel(sums[i * width + x]);
        }
        if (late) {
            shrink_row(row, across, shrunk);
        }
        for (ptrdiff_t x = 0; x < SIDE; x++) {
            out[i * SIDE + x] = (uint8_t)(late ? shrunk[x] : row[x]);
        }
    }
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
thumbnail_of(const Py_buffer *pixels, int channels, const Axis *across, const Axis *down) {
    uint8_t out[SIDE * SIDE];

    if (channels != 1 && channels != 3) {
        return PyErr_Format(PyExc_ValueError, "a pixel has 1 or 3 channels, not %d", channels);
    }
    if (pixels->len / channels / across->size < down->size) {
        return PyErr_Format(PyExc_ValueError, "%zd bytes are no picture of %dx%d pixels of %d channels", pixels->len,
                            across->size, down->size, channels);
    }
    size_t width = across->size < SIDE ? SIDE : (size_t)across->size;
    int16_t *row = malloc(width * sizeof *row);
    int32_t *sums = malloc(SIDE * width * sizeof *sums);
    if (row != NULL && sums != NULL) {
        Py_BEGIN_ALLOW_THREADS
        shrink(pixels->buf, channels, across, down, row, sums, out);
        Py_END_ALLOW_THREADS
    }
    PyObject *made = row != NULL && sums != NULL ? PyBytes_FromStringAndSize((char *)out, sizeof out) : PyErr_NoMemory();
    free(row);
    free(sums);
    return made;
}

PyDoc_STRVAR(thumbnail_doc,
             "thumbnail($module, pixels, channels, across, down, /)\n--\n\n"
             "Shrink a picture to 8x8 grey pixels, 64 bytes row by row, as\n"
             "`image.convert(\"L\").resize((8, 8), Image.Resampling.LANCZOS)` does. Other threads run meanwhile.\n\n"
             "`pixels` are rows without gaps, of 8 bits a channel, with 1 channel for grey or 3 for RGB; `across` and\n"
             "`down` are the axes of width and height. ValueError: another number of channels, or too few pixels.");

static PyObject *
thumbnail(PyObject *Py_UNUSED(module), PyObject *arguments) {
    Py_buffer pixels;
    int channels;
    PyObject *across, *down;
    PyObject *made = NULL;

    if (!PyArg_ParseTuple(arguments, "y*iOO:thumbnail", &pixels, &channels, &across, &down)) {
        return NULL;
    }
    const Axis *across_axis = PyCapsule_GetPointer(across, AXIS_NAME);
    const Axis *down_axis = across_axis == NULL ? NULL : PyCapsule_GetPointer(down, AXIS_NAME);
    if (down_axis != NULL) {
        made = thumbnail_of(&pixels, channels, across_axis, down_axis);
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
