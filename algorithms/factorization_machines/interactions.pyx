"""Margins of factorization machines, their gradients, and Adam on the rows of a batch, in compiled passes.

Rendle 2010, eq. 1, in the O(entries * factors) form of lemma 3.1; the gradient is eq. 4. A record's entries are (slot,
value) pairs, and a slot is a row of a table:

    factors, filled up with zeros to a multiple of four; then the linear weight       (columns,)

A table that learns has three such stretches in each row, since rows lie anywhere and each place in memory is a wait:
the weights, and the first and second moment of their gradients. Every slot is checked before it is used.

Factors are taken eight at a time, then four, each record for itself: results depend on no batch and no thread. Functions
are compiled for processors with wide registers, too; nothing is summed in another order there, and no product is fused
with a sum, so bits are the same.
"""

from libc.stdint cimport int32_t, int64_t, uint32_t

import numpy as np

cdef extern from *:
    """
    #include <cmath>
    #include <cstddef>
    #include <cstdint>

    // Sanitizers are not ready yet when a clone is chosen.
    #if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
    #define FOR_WIDE_REGISTERS __attribute__((target_clones("avx2", "default")))
    #else
    #define FOR_WIDE_REGISTERS
    #endif
    #define INLINE static inline __attribute__((always_inline))

    namespace {

    const std::ptrdiff_t AHEAD = 16;  // entries or rows that are asked for before they are needed
    const std::ptrdiff_t CACHED = 1 << 17;  // features whose places, 1 MB, are near anyway

    // Attributes of a type are lost where it is a template's argument itself.
    template <int lanes> struct Register;
    template <> struct Register<8> { typedef float type __attribute__((vector_size(32), aligned(4), may_alias)); };
    template <> struct Register<4> { typedef float type __attribute__((vector_size(16), aligned(4), may_alias)); };

    struct Step {
        float keep_first, keep_second, epsilon, most, scale;
    };

    struct Group {  // weights that share a rate
        float rate, decay;
    };

    template <int lanes>
    INLINE float pairs(const std::int32_t *slots, const float *values, std::ptrdiff_t count, const float *table,
                       std::ptrdiff_t stride, float *sums) {
        typedef typename Register<lanes>::type Lanes;
        Lanes sum = {}, squares = {};
        for (std::ptrdiff_t number = 0; number < count; number++) {
            const Lanes term = values[number] * *(const Lanes *)(table + slots[number] * stride);
            sum += term;
            squares += term * term;
        }
        *(Lanes *)sums = sum;
        const Lanes rest = sum * sum - squares;
        float total = 0;
        for (int lane = 0; lane < lanes; lane++) total += rest[lane];
        return total;
    }

    FOR_WIDE_REGISTERS
    void margins_of(std::ptrdiff_t records, const std::int32_t *starts, const std::int32_t *slots, const float *values,
                    const float *table, std::ptrdiff_t stride, std::ptrdiff_t factors, float bias, float *margins,
                    float *sums) {
        const std::ptrdiff_t entries = starts[records];
        for (std::ptrdiff_t record = 0; record < records; record++, sums += factors) {
            const std::ptrdiff_t start = starts[record], count = starts[record + 1] - start;
            float linear = 0, twice = 0;
            for (std::ptrdiff_t number = start; number < start + count; number++) {
                if (number + AHEAD < entries) {
                    const float *soon = table + slots[number + AHEAD] * stride;
                    for (std::ptrdiff_t column = 0; column <= factors; column += 16) __builtin_prefetch(soon + column);
                }
                linear += values[number] * table[slots[number] * stride + factors];
            }
            std::ptrdiff_t column = 0;
            for (; column + 8 <= factors; column += 8)
                twice += pairs<8>(slots + start, values + start, count, table + column, stride, sums + column);
            for (; column < factors; column += 4)
                twice += pairs<4>(slots + start, values + start, count, table + column, stride, sums + column);
            margins[record] = bias + (linear + twice / 2);
        }
    }

    template <int lanes>
    INLINE void add_slopes(const std::int32_t *slots, const std::int32_t *places, const float *values,
                           std::ptrdiff_t count, const float *table, std::ptrdiff_t stride, std::ptrdiff_t columns,
                           const float *sums, float slope, float *gradient) {
        typedef typename Register<lanes>::type Lanes;
        const Lanes sum = *(const Lanes *)sums;
        for (std::ptrdiff_t number = 0; number < count; number++) {
            const float value = values[number];
            Lanes *own = (Lanes *)(gradient + places[number] * columns);
            *own += slope * value * (sum - value * *(const Lanes *)(table + slots[number] * stride));
        }
    }

    FOR_WIDE_REGISTERS
    void gradients_of(std::ptrdiff_t records, const std::int32_t *starts, const std::int32_t *slots,
                      const std::int32_t *places, const float *values, const float *table, std::ptrdiff_t stride,
                      std::ptrdiff_t factors, const float *sums, const float *slopes, float *gradient) {
        const std::ptrdiff_t columns = factors + 1;
        for (std::ptrdiff_t record = 0; record < records; record++, sums += factors) {
            const std::ptrdiff_t start = starts[record], count = starts[record + 1] - start;
            const float slope = slopes[record];
            std::ptrdiff_t column = 0;
            for (; column + 8 <= factors; column += 8)
                add_slopes<8>(slots + start, places + start, values + start, count, table + column, stride, columns,
                                  sums + column, slope, gradient + column);
            for (; column < factors; column += 4)
                add_slopes<4>(slots + start, places + start, values + start, count, table + column, stride, columns,
                                 sums + column, slope, gradient + column);
            for (std::ptrdiff_t number = start; number < start + count; number++)
                gradient[places[number] * columns + factors] += slope * values[number];
        }
    }

    template <int lanes>
    INLINE void move(float *row, std::ptrdiff_t columns, const float *slopes, const Step &step, const Group &group) {
        float first[lanes], second[lanes], root[lanes];
        for (int lane = 0; lane < lanes; lane++) {
            float slope = step.scale * slopes[lane] + group.decay * row[lane];
            slope = slope > step.most ? step.most : slope;  // nan stays nan
            slope = slope < -step.most ? -step.most : slope;
            first[lane] = step.keep_first * row[columns + lane] + (1 - step.keep_first) * slope;
            second[lane] = step.keep_second * row[2 * columns + lane] + (1 - step.keep_second) * slope * slope;
        }
        for (int lane = 0; lane < lanes; lane++) root[lane] = std::sqrt(second[lane]) + step.epsilon;
        for (int lane = 0; lane < lanes; lane++) row[columns + lane] = first[lane];
        for (int lane = 0; lane < lanes; lane++) row[2 * columns + lane] = second[lane];
        for (int lane = 0; lane < lanes; lane++) row[lane] -= group.rate * first[lane] / root[lane];
    }

    FOR_WIDE_REGISTERS
    void move_rows(std::ptrdiff_t count, const std::int32_t *rows, const float *gradient, float *kept,
                   std::int64_t *counts, std::ptrdiff_t factors, Step step, Group of_factors, Group of_linear) {
        const std::ptrdiff_t columns = factors + 1;
        for (std::ptrdiff_t number = 0; number < count; number++, gradient += columns) {
            if (number + AHEAD < count) {
                const float *soon = kept + rows[number + AHEAD] * (3 * columns);
                for (std::ptrdiff_t column = 0; column < 3 * columns; column += 16) __builtin_prefetch(soon + column, 1);
                __builtin_prefetch(soon + 3 * columns - 1, 1);
            }
            float *row = kept + rows[number] * (3 * columns);
            std::ptrdiff_t column = 0;
            for (; column + 8 <= factors; column += 8) move<8>(row + column, columns, gradient + column, step, of_factors);
            for (; column < factors; column += 4) move<4>(row + column, columns, gradient + column, step, of_factors);
            move<1>(row + factors, columns, gradient + factors, step, of_linear);
            counts[rows[number]]++;
        }
    }

    struct Where {  // a feature's slot, and its place among the different ones of a batch; -1 for none
        std::int32_t slot, place;
    };

    // How many different features there are, or -1 where one has no slot. Whether one is new is hard to foresee: no branch
    // depends on it, and the last two arrays have room for one more than can be.
    std::ptrdiff_t locate(std::ptrdiff_t count, const std::int32_t *features, std::ptrdiff_t width, std::int32_t *all,
                          std::int32_t *slots, std::int32_t *places, std::int32_t *rows, std::int32_t *different) {
        Where *where = (Where *)all;
        const bool wide = width > CACHED;
        std::int32_t found = 0;
        bool complete = true;
        for (std::ptrdiff_t number = 0; number < count; number++) {
            if (wide && number + AHEAD < count) __builtin_prefetch(where + features[number + AHEAD], 1);
            Where &one = where[features[number]];
            if (one.slot < 0) {
                complete = false;
                break;
            }
            rows[found] = slots[number] = one.slot;
            different[found] = features[number];
            const std::int32_t fresh = one.place >> 31;  // all bits of it, or none
            one.place = places[number] = (one.place & ~fresh) | (found & fresh);
            found -= fresh;
        }
        for (std::ptrdiff_t number = 0; number < found; number++) where[different[number]].place = -1;
        return complete ? found : -1;
    }

    FOR_WIDE_REGISTERS
    std::uint32_t largest(std::ptrdiff_t count, const std::int32_t *numbers) {  // negative ones are larger than others
        std::uint32_t found = 0;
        for (std::ptrdiff_t number = 0; number < count; number++) {
            const std::uint32_t one = (std::uint32_t)numbers[number];
            found = one > found ? one : found;
        }
        return found;
    }

    }
    """
    cdef struct Step:
        float keep_first
        float keep_second
        float epsilon
        float most
        float scale
    cdef struct Group:
        float rate
        float decay
    void margins_of(
        Py_ssize_t records, const int32_t *starts, const int32_t *slots, const float *values, const float *table,
        Py_ssize_t stride, Py_ssize_t factors, float bias, float *margins, float *sums,
    ) noexcept nogil
    void gradients_of(
        Py_ssize_t records, const int32_t *starts, const int32_t *slots, const int32_t *places, const float *values,
        const float *table, Py_ssize_t stride, Py_ssize_t factors, const float *sums, const float *slopes,
        float *gradient,
    ) noexcept nogil
    void move_rows(
        Py_ssize_t count, const int32_t *rows, const float *gradient, float *kept, int64_t *counts, Py_ssize_t factors,
        Step step, Group of_factors, Group of_linear,
    ) noexcept nogil
    Py_ssize_t locate(
        Py_ssize_t count, const int32_t *features, Py_ssize_t width, int32_t *all, int32_t *slots, int32_t *places,
        int32_t *rows, int32_t *different,
    ) noexcept nogil
    uint32_t largest(Py_ssize_t count, const int32_t *numbers) noexcept nogil


def located(const int32_t[::1] features not None, int32_t[:, ::1] where not None):
    """Slots of the entries of a batch, and which different ones there are.

    features   (entries,)
    where      slot of each feature, -1 for those that have none; and -1, before and after   (all features, 2)
    returns    slots (entries,), the different ones in order of first sight (different,), and where each entry's stands
               among them (entries,); None when a feature has no slot
    """
    cdef Py_ssize_t count = features.shape[0], found
    if where.shape[1] != 2:
        raise ValueError("there is not a slot and a place for each feature")
    slots_array, places_array = np.empty(count, np.int32), np.empty(count, np.int32)
    most = min(count, where.shape[0]) + 1
    rows_array, different_array = np.empty(most, np.int32), np.empty(most, np.int32)
    if not count:
        return slots_array, rows_array[:0], places_array
    if largest(count, &features[0]) >= <size_t> where.shape[0]:
        raise ValueError(f"got a feature beyond {where.shape[0] - 1}")
    cdef int32_t[::1] slots = slots_array, places = places_array, rows = rows_array, different = different_array
    with nogil:
        found = locate(
            count, &features[0], where.shape[0], &where[0, 0], &slots[0], &places[0], &rows[0], &different[0]
        )
    return None if found < 0 else (slots_array, rows_array[:found], places_array)


def margins(
    const int32_t[::1] starts not None, const int32_t[::1] slots not None, const float[::1] values not None,
    const float[:, :] weights not None, float bias,
):
    """What the model gives for each record before any link.

    starts     of each record's entries, and their end             (records + 1,)
    slots      (entries,)
    values     (entries,)
    weights    rows may lie apart                                  (slots, columns)
    returns    margins (records,), and the sum of value * factors over the entries of each record (records, columns - 1)
    """
    cdef Py_ssize_t records = starts.shape[0] - 1, columns = weights.shape[1]
    _check(starts, slots, values, weights.shape[0], columns)
    if weights.strides[1] != sizeof(float):
        raise ValueError("the weights of a row lie apart")
    margins_array = np.zeros(records, np.float32)
    sums_array = np.zeros((records, columns - 1), np.float32)
    if not slots.shape[0]:
        margins_array += np.float32(bias)
        return margins_array, sums_array
    cdef float[::1] found = margins_array
    cdef float[:, ::1] sums = sums_array
    cdef Py_ssize_t stride = weights.strides[0] // <Py_ssize_t> sizeof(float)
    cdef float *into = &sums[0, 0] if columns > 1 else NULL
    with nogil:
        margins_of(
            records, &starts[0], &slots[0], &values[0], &weights[0, 0], stride, columns - 1, bias, &found[0], into
        )
    return margins_array, sums_array


def gradients(
    const int32_t[::1] starts not None, const int32_t[::1] slots not None, const float[::1] values not None,
    const int32_t[::1] places not None, Py_ssize_t rows, const float[:, :] weights not None,
    const float[:, ::1] sums not None, const float[::1] slopes not None,
):
    """Sums over the records of slope * gradient of the margin, for each different slot. As for `margins`.

    places     where each entry's slot stands among the different ones   (entries,)
    sums       that `margins` gave                                       (records, columns - 1)
    slopes     of the loss                                               (records,)
    returns    (rows, columns)
    """
    cdef Py_ssize_t records = starts.shape[0] - 1, columns = weights.shape[1]
    _check(starts, slots, values, weights.shape[0], columns)
    if weights.strides[1] != sizeof(float):
        raise ValueError("the weights of a row lie apart")
    if places.shape[0] != slots.shape[0] or slopes.shape[0] != records:
        raise ValueError("there is not one place for each entry, or one slope for each record")
    if sums.shape[0] != records or sums.shape[1] != columns - 1:
        raise ValueError("the sums have another shape than the records")
    if places.shape[0] and largest(places.shape[0], &places[0]) >= <size_t> max(rows, 0):
        raise ValueError(f"got a place beyond {rows - 1}")
    found = np.zeros((rows, columns), np.float32)
    if not slots.shape[0]:
        return found
    cdef float[:, ::1] gradient = found
    cdef const float *of = &sums[0, 0] if columns > 1 else NULL
    cdef Py_ssize_t stride = weights.strides[0] // <Py_ssize_t> sizeof(float)
    with nogil:
        gradients_of(
            records, &starts[0], &slots[0], &places[0], &values[0], &weights[0, 0], stride, columns - 1, of,
            &slopes[0], &gradient[0, 0],
        )
    return found


def step(
    const int32_t[::1] rows not None, const float[:, ::1] gradient not None, float[:, :, ::1] kept not None,
    int64_t[::1] counts not None, moves, factors, linear,
):
    """Adam (Kingma and Ba 2015) on some rows, in the form that its section 2 ends with.

    rows             different slots                                (rows,)
    gradient         of the sum over a batch                        (rows, columns)
    kept             weights, first moment, second moment           (slots, 3, columns)
    counts           updates of each row                            (slots,)
    moves            beta 1, beta 2, epsilon, limit of a gradient, factor that makes a gradient of the sum
    factors, linear  learning rate, corrected for moments that began at 0, and decay: a share of the weight that is
                     added to its gradient
    """
    cdef Py_ssize_t columns = kept.shape[2]
    cdef Step how
    cdef Group of_factors, of_linear
    how.keep_first, how.keep_second, how.epsilon, how.most, how.scale = moves
    of_factors.rate, of_factors.decay = factors
    of_linear.rate, of_linear.decay = linear
    _check_columns(columns)
    if kept.shape[1] != 3 or counts.shape[0] != kept.shape[0]:
        raise ValueError("the rows are not weights, two moments and a count")
    if gradient.shape[0] != rows.shape[0] or gradient.shape[1] != columns:
        raise ValueError("the gradient has another shape than its rows")
    if not rows.shape[0]:
        return
    if largest(rows.shape[0], &rows[0]) >= <size_t> kept.shape[0]:
        raise ValueError(f"got a row beyond {kept.shape[0] - 1}")
    with nogil:
        move_rows(
            rows.shape[0], &rows[0], &gradient[0, 0], &kept[0, 0, 0], &counts[0], columns - 1, how, of_factors, of_linear
        )


cdef int _check_columns(Py_ssize_t columns) except -1:
    if columns < 1 or (columns - 1) % 4:
        raise ValueError(f"got {columns} columns, expected one more than a multiple of 4")
    return 0


cdef int _check(
    const int32_t[::1] starts, const int32_t[::1] slots, const float[::1] values, Py_ssize_t rows, Py_ssize_t columns
) except -1:
    cdef Py_ssize_t number
    _check_columns(columns)
    if not starts.shape[0] or starts[0] or starts[starts.shape[0] - 1] != slots.shape[0]:
        raise ValueError("the records are not those of the entries")
    if values.shape[0] != slots.shape[0]:
        raise ValueError("there is not one value for each slot")
    for number in range(starts.shape[0] - 1):
        if starts[number] > starts[number + 1]:
            raise ValueError("a record ends before it starts")
    if slots.shape[0] and largest(slots.shape[0], &slots[0]) >= <size_t> rows:
        raise ValueError(f"got a slot beyond {rows - 1}")
    return 0
