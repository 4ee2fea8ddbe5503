"""Rows of weights, moved in one compiled pass: a batch of sparse records touches few of them, and pays for no others.

What the numbers mean is said in `optimisers`. All that is kept of a row lies together, since rows lie anywhere and each
place in memory is a wait: weights, their average, then the moments that the rule has, each a stretch of all columns.
Every row number is checked before it is used; stretches are as long as the array says.
"""

from libc.math cimport copysignf, fabsf, pow, sqrtf
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport free, malloc

import numpy as np

cdef extern from *:
    void prefetch "__builtin_prefetch"(const void *address) noexcept nogil

cdef enum:
    MOST_COUNTED = 2147483647
    AHEAD = 8  # rows that are on their way from memory while one is worked on
    LINE = 16  # floats


cdef struct Rule:
    float keep_first  # of the running first moment, and what a gradient adds to it
    float add_first
    float keep_second
    float add_second
    float epsilon
    double settled  # updates after which the share of each in an average stays the same
    bint first  # whether there is such a moment
    bint second


cdef struct Rates:  # of each column
    const float *learning
    const float *decay
    const float *shrinkage
    bint penalised  # whether any decay or shrinkage is not 0


cdef struct Row:
    float *weights
    float *average
    float *first
    float *second


def touched(const int32_t[::1] indices not None, int32_t[::1] places not None):
    """The different numbers among the indices, in order of first sight, and where each index stands among them.

    places    -1 everywhere, before and after   (numbers,)
    returns   rows (different,) and positions (indices,)
    """
    cdef Py_ssize_t count = indices.shape[0], numbers = places.shape[0], number
    rows_array, positions_array = np.empty(min(count, numbers), np.int32), np.empty(count, np.int32)
    cdef int32_t[::1] rows = rows_array, positions = positions_array
    cdef int32_t found = 0, index = 0
    cdef bint inside = True
    with nogil:
        for number in range(count):
            index = indices[number]
            if index < 0 or index >= numbers:
                inside = False
                break
            if places[index] < 0:
                places[index] = found
                rows[found] = index
                found += 1
            positions[number] = places[index]
        for number in range(found):
            places[rows[number]] = -1
    if not inside:
        raise ValueError(f"got index {index}, expected 0 to {numbers - 1}")
    return rows_array[:found], positions_array


def step(
    const int32_t[::1] rows not None, const float[:, ::1] gradient not None, int64_t steps,
    float[:, :, ::1] kept not None, int32_t[::1] counts not None, int64_t[::1] last not None,
    rule, const float[:, ::1] corrections not None,
    const float[::1] learning not None, const float[::1] decay not None, const float[::1] shrinkage not None,
):
    """Move some rows against their gradients, and bring their averages up to this step.

    rows          different numbers                                       (rows,)
    gradient      (rows, columns)
    steps         updates made, this one too
    kept          weights, average and moments                            (all rows, 2 to 4, columns)
    counts        updates of each row                                     (all rows,)
    last          the update that each row was brought up to              (all rows,)
    corrections   of the first and second moment after 1, 2, … updates of a row; the last holds from then on
    learning, decay, shrinkage   learning rate, wd and l1 of each column  (columns,)
    """
    cdef Rule known = _rule(rule)
    cdef Py_ssize_t columns = kept.shape[2], number, row, entry
    cdef float share = _share(steps - 1, steps, known.settled)
    _check(rows, kept, counts, last, known, corrections, learning, decay, shrinkage)
    if gradient.shape[0] != rows.shape[0] or gradient.shape[1] != columns:
        raise ValueError("the gradient has another shape than its rows")
    if not columns or not rows.shape[0]:
        return
    cdef Rates rates = _rates(learning, decay, shrinkage)
    cdef float *speed = <float *> malloc(columns * sizeof(float))
    if speed == NULL:
        raise MemoryError
    with nogil:
        for number in range(rows.shape[0]):
            row = rows[number]
            _expect(rows, number + AHEAD, kept)
            if counts[row] < MOST_COUNTED:
                counts[row] += 1
            entry = min(<Py_ssize_t> counts[row], corrections.shape[1]) - 1
            _move(
                columns, _row(kept, row, known), &gradient[number, 0], known, rates,
                corrections[0, entry], corrections[1, entry], share, speed,
            )
            last[row] = steps
    free(speed)


def settle(
    const int32_t[::1] rows not None, float[:, ::1] weights, int64_t steps,
    float[:, :, ::1] kept not None, int32_t[::1] counts not None, int64_t[::1] last not None,
    rule, const float[:, ::1] corrections not None,
    const float[::1] learning not None, const float[::1] decay not None, const float[::1] shrinkage not None,
):
    """Bring some rows up to an update: penalties and averages of those that did not touch them. As for `step`.

    weights   where to copy the rows' weights then, or None   (rows, columns)
    """
    cdef Rule known = _rule(rule)
    cdef Py_ssize_t columns = kept.shape[2], number, row, column
    cdef float correction
    cdef Row here
    _check(rows, kept, counts, last, known, corrections, learning, decay, shrinkage)
    cdef bint copied = weights is not None
    if copied and (weights.shape[0] != rows.shape[0] or weights.shape[1] != columns):
        raise ValueError("the weights have another shape than their rows")
    if not columns or not rows.shape[0]:
        return
    cdef Rates rates = _rates(learning, decay, shrinkage)
    cdef float *speed = <float *> malloc(columns * sizeof(float))
    if speed == NULL:
        raise MemoryError
    with nogil:
        for number in range(rows.shape[0]):
            row = rows[number]
            _expect(rows, number + AHEAD, kept)
            here = _row(kept, row, known)
            if last[row] < steps:
                if rates.penalised and counts[row]:
                    correction = corrections[1, min(<Py_ssize_t> counts[row], corrections.shape[1]) - 1]
                    _speed(columns, here, known, correction, rates, <float> (steps - last[row]), speed)
                    _penalise(columns, here.weights, speed, rates)
                _follow(columns, here, _share(last[row], steps, known.settled))
                last[row] = steps
            if copied:
                for column in range(columns):
                    weights[number, column] = here.weights[column]
    free(speed)


cdef Rule _rule(rule):
    cdef Rule known
    known.keep_first, known.add_first, known.keep_second, known.add_second, known.epsilon, known.settled = rule
    known.first, known.second = known.add_first != 0, known.add_second != 0
    return known


cdef Rates _rates(const float[::1] learning, const float[::1] decay, const float[::1] shrinkage):
    cdef Rates rates
    rates.learning, rates.decay, rates.shrinkage = &learning[0], &decay[0], &shrinkage[0]
    rates.penalised = np.any(decay) or np.any(shrinkage)
    return rates


cdef int _check(
    const int32_t[::1] rows, float[:, :, ::1] kept, int32_t[::1] counts, int64_t[::1] last, Rule rule,
    const float[:, ::1] corrections, const float[::1] learning, const float[::1] decay, const float[::1] shrinkage,
) except -1:
    cdef Py_ssize_t number
    if kept.shape[1] != 2 + rule.first + rule.second:
        raise ValueError("the arrays kept are not those of the rule")
    if not counts.shape[0] == last.shape[0] == kept.shape[0]:
        raise ValueError("there is not one count for each row")
    if not learning.shape[0] == decay.shape[0] == shrinkage.shape[0] == kept.shape[2]:
        raise ValueError("there is not one rate for each column")
    if corrections.shape[0] != 2 or not corrections.shape[1]:
        raise ValueError("there are no corrections")
    for number in range(rows.shape[0]):
        if rows[number] < 0 or rows[number] >= kept.shape[0]:
            raise ValueError(f"got row {rows[number]}, expected 0 to {kept.shape[0] - 1}")
    return 0


cdef void _expect(const int32_t[::1] rows, Py_ssize_t number, float[:, :, ::1] kept) noexcept nogil:
    """Ask for a row that is to come: rows lie anywhere, and each would be a wait."""
    cdef Py_ssize_t line, lines = (kept.shape[1] * kept.shape[2] + LINE - 1) // LINE
    cdef const float *start
    if number < rows.shape[0]:
        start = &kept[rows[number], 0, 0]
        for line in range(lines):
            prefetch(start + line * LINE)


cdef Row _row(float[:, :, ::1] kept, Py_ssize_t row, Rule rule) noexcept nogil:
    cdef Row here
    here.weights, here.average = &kept[row, 0, 0], &kept[row, 1, 0]
    here.first = &kept[row, 2, 0] if rule.first else NULL
    here.second = &kept[row, 2 + rule.first, 0] if rule.second else NULL
    return here


cdef float _share(int64_t before, int64_t now, double settled) noexcept nogil:
    """What weights that stayed the same from one update to another make up of their average then."""
    cdef double left, since = before
    if now <= settled:
        left = since / <double> now
    else:
        left = min(since, settled) / settled * pow((settled - 1) / settled, now - max(since, settled))
    left *= left
    left *= left
    return <float> (1 - left * left)


cdef void _move(
    Py_ssize_t columns, Row row, const float *gradient, Rule rule, Rates rates,
    float correction_first, float correction_second, float share, float *speed,
) noexcept nogil:
    cdef Py_ssize_t column
    cdef const float *direction = gradient
    if rule.first:
        for column in range(columns):
            row.first[column] = rule.keep_first * row.first[column] + rule.add_first * gradient[column]
        direction = row.first
    if rule.second:
        for column in range(columns):
            row.second[column] = (
                rule.keep_second * row.second[column] + rule.add_second * gradient[column] * gradient[column]
            )
    _speed(columns, row, rule, correction_second, rates, 1, speed)
    for column in range(columns):
        row.weights[column] -= speed[column] * correction_first * direction[column]
    if rates.penalised:
        _penalise(columns, row.weights, speed, rates)
    _follow(columns, row, share)


cdef void _speed(
    Py_ssize_t columns, Row row, Rule rule, float correction, Rates rates, float times, float *speed
) noexcept nogil:
    """How far a unit of gradient moves each weight."""
    cdef Py_ssize_t column
    if rule.second:
        for column in range(columns):
            speed[column] = times * rates.learning[column] / (sqrtf(correction * row.second[column]) + rule.epsilon)
    else:
        for column in range(columns):
            speed[column] = times * rates.learning[column]


cdef void _penalise(Py_ssize_t columns, float *weights, const float *speed, Rates rates) noexcept nogil:
    cdef Py_ssize_t column
    cdef float length, one = 1, zero = 0
    for column in range(columns):
        length = fabsf(weights[column]) - speed[column] * rates.shrinkage[column]
        length = zero if length <= zero else length  # nan stays nan
        weights[column] = copysignf(length / (one + speed[column] * rates.decay[column]), weights[column])


cdef void _follow(Py_ssize_t columns, Row row, float share) noexcept nogil:
    cdef Py_ssize_t column
    for column in range(columns):
        row.average[column] += share * (row.weights[column] - row.average[column])
