"""Numbers in text, for the compiled passes: correctly rounded, without a locale.

Each function reads from `at`, never as far as `end`, and returns where what it read ends, or NULL when it isn't there.
"""

from libc.math cimport HUGE_VAL, NAN, fma
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memchr, memcpy

cdef extern from "<charconv>" namespace "std" nogil:
    cdef cppclass from_chars_result:
        const char *ptr
        int ec
    from_chars_result from_chars(const char *, const char *, float &)
    from_chars_result from_chars(const char *, const char *, double &)

cdef extern from *:
    int __builtin_ctzll(unsigned long long) nogil

cdef extern from *:
    """
    static const uint64_t TENS[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};
    static const double POWERS[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    static const double PARTS[] = {1e-0,  1e-1,  1e-2,  1e-3,  1e-4,  1e-5,  1e-6,  1e-7,  1e-8,  1e-9,  1e-10, 1e-11,
                                   1e-12, 1e-13, 1e-14, 1e-15, 1e-16, 1e-17, 1e-18, 1e-19, 1e-20, 1e-21, 1e-22};
    static const double ZIV = 1 + 0x1p-40;
    """
    const uint64_t TENS[8]
    const double POWERS[23]  # of ten, those that double holds exactly
    const double PARTS[23]   # of one, nearly
    const double ZIV

ctypedef fused Real:
    float
    double

# How a number is read. JSON has a stricter grammar, and its numbers are doubles first, as every parser makes them.
cdef enum Grammar:
    CSV
    JSON


cdef inline bint is_digit(char code) noexcept nogil:
    return <unsigned char>(code - c'0') < 10


cdef inline const char *digits(const char *at, const char *end, uint64_t *number) noexcept nogil:
    """Append digits to a number, modulo 2^64; none is fine."""
    cdef uint64_t eight, others
    cdef int count
    while end - at >= 8:
        # Eight characters at once, the first one lowest: no branch depends on how many are digits.
        memcpy(&eight, at, 8)
        eight ^= 0x3030303030303030u
        others = (eight | (eight + 0x7676767676767676u)) & 0x8080808080808080u
        if others == 0:
            number[0] = number[0] * 100000000 + eight_digits(eight)
            at += 8
            continue
        count = __builtin_ctzll(others) >> 3
        number[0] = number[0] * TENS[count] + eight_digits(eight << 8 << (56 - 8 * count))
        return at + count
    while at < end and is_digit(at[0]):
        number[0] = number[0] * 10 + <unsigned char>(at[0] - c'0')
        at += 1
    return at


cdef inline uint64_t eight_digits(uint64_t eight) noexcept nogil:
    """The number that eight digits make, the first of them in the lowest byte: pairs, then fours, then all."""
    eight = eight * 10 + (eight >> 8)
    return (
        (eight & 0x000000FF000000FFu) * 0x000F424000000064u + ((eight >> 16) & 0x000000FF000000FFu) * 0x0000271000000001u
    ) >> 32


cdef inline const char *decimal(const char *start, const char *end, Real *value, Grammar grammar) noexcept nogil:
    """Read digits with a point and an exponent, without a sign. Too small is the nearest there is, too large infinity,
    or NULL in JSON: its parsers refuse what is infinite as a double.
    """
    cdef uint64_t mantissa = 0
    cdef int64_t exponent = 0, power = 0, count
    cdef const char *at = digits(start, end, &mantissa)
    cdef const char *mark
    cdef bint negative = False
    count = at - start
    if grammar == JSON and (count == 0 or (count > 1 and start[0] == c'0')):
        return NULL
    if at < end and at[0] == c'.':
        mark = at + 1
        at = digits(mark, end, &mantissa)
        exponent = mark - at
        count -= exponent
        if grammar == JSON and exponent == 0:
            return NULL
    if count == 0:
        return NULL
    if at < end and (at[0] | 0x20) == c'e':
        at += 1
        if at < end and (at[0] == c'-' or at[0] == c'+'):
            negative = at[0] == c'-'
            at += 1
        mark = at
        while at < end and is_digit(at[0]):
            if power < 1000000000:
                power = power * 10 + (at[0] - c'0')
            at += 1
        if at == mark:
            return NULL
        exponent += -power if negative else power
    if count <= 19 and -22 <= exponent <= 22 and quick(mantissa, exponent, value):
        return at
    return at if exact(start, at, count + exponent, value, grammar) else NULL


cdef inline bint quick(uint64_t mantissa, int64_t exponent, Real *value) noexcept nogil:
    """Compute mantissa * 10^exponent where doubles do so correctly: Clinger 1990, section 4; false elsewhere."""
    cdef double near, scale, high, low, rest
    cdef uint64_t bits
    if Real is double:
        scale = POWERS[-exponent if exponent < 0 else exponent]
        high = <double>mantissa
        near = high / scale if exponent < 0 else high * scale
        if mantissa > <uint64_t>1 << 53:
            # The sum of two doubles, then one: right unless the rest is too near to half a unit (Ziv 1991).
            low = <double><int64_t>(mantissa - <uint64_t>high)
            if exponent < 0:
                rest = (fma(-near, scale, high) + low) * PARTS[-exponent]
            else:
                rest = fma(high, scale, -near) + low * scale
            high = near
            near = high + rest
            rest -= near - high
            if near + rest * ZIV != near:
                return False
    else:
        # Three roundings, 3 units of a double off at most: that changes nothing but close to the middle of two floats.
        near = mantissa * (PARTS[-exponent] if exponent < 0 else POWERS[exponent])
        memcpy(&bits, &near, 8)
        if (bits & 0x1FFFFFFF) - 0x0FFFFFF0 <= 0x20:
            return False
    value[0] = <Real>near
    return True


cdef inline bint exact(const char *start, const char *end, int64_t order, Real *value, Grammar grammar) noexcept nogil:
    """Convert any text that `decimal` accepts; false when JSON refuses it.

    order   the exponent of ten, plus the number of digits
    """
    cdef double wide = 0
    cdef from_chars_result result
    if Real is float and grammar == JSON:
        result = from_chars(start, end, wide)
        value[0] = <float>wide
    else:
        result = from_chars(start, end, value[0])
    if <int>result.ec == 0:
        return True
    while start < end and (start[0] == c'0' or start[0] == c'.'):  # out of range
        order -= start[0] == c'0'
        start += 1
    value[0] = <Real>HUGE_VAL if order > 0 else 0
    return grammar == CSV or order <= 0


cdef inline const char *numeral(const char *at, const char *end, Real *value) noexcept nogil:
    """Read a number with or without a sign, or inf, infinity or nan in letters of any case."""
    cdef const char *after
    cdef bint negative = False
    if at < end:
        negative = at[0] == c'-'
        at += negative or at[0] == c'+'
    after = decimal(at, end, value, CSV)
    if after == NULL:
        value[0] = <Real>HUGE_VAL
        if (after := word(at, end, b"inf", 3)) != NULL:
            if word(after, end, b"inity", 5) != NULL:
                after += 5
        elif (after := word(at, end, b"nan", 3)) != NULL:
            value[0] = <Real>NAN
    value[0] *= 1 - 2 * negative  # without a branch: signs are hard to predict
    return after


cdef inline const char *word(const char *at, const char *end, const char *letters, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t place
    if end - at < count:
        return NULL
    for place in range(count):
        if (at[place] | 0x20) != letters[place]:
            return NULL
    return at + count


cdef inline const char *find(const char *at, const char *end, char code) noexcept nogil:
    """Where the next such character is, or `end`."""
    cdef const char *found = <const char *>memchr(at, code, end - at)
    return end if found == NULL else found
