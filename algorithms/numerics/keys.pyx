"""Keys of rows: which different ones a batch has, and on which host the row of each lies.

Keys are mixed before they are dealt out, since ids of one kind come in runs, and in steps: host h of H owns the keys whose
mixed number is h modulo H, as its number 0, 1, 2, … The mixing is one to one on [0, width), so that every number up to a
host's share is that of one key, and rows need no dictionary. On a power of two it is what ends common hashes, an
exclusive or with the upper half and a product with an odd number, twice; numbers beyond the width are mixed again until
they lie within it (Black and Rogaway 2002, method 3), less than twice in the mean.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t

import numpy as np

cdef enum:
    FIRST = 0x9E3779B1  # odd; the golden ratio, and the larger constant of MurmurHash3
    SECOND = 0x85EBCA6B


cdef inline uint32_t mixed(uint32_t key, uint32_t width, uint32_t mask, int half) noexcept nogil:
    while True:
        key ^= key >> half
        key = (key * <uint32_t> FIRST) & mask
        key ^= key >> half
        key = (key * <uint32_t> SECOND) & mask
        key ^= key >> half
        if key < width:
            return key


def homes(const int32_t[::1] keys not None, Py_ssize_t width, Py_ssize_t hosts):
    """Where rows lie.

    keys      from 0 to width - 1                                           (keys,)
    returns   the host of each (keys,), and its number among the keys there (keys,)
    """
    cdef Py_ssize_t count = keys.shape[0], number
    if not 0 < width <= 2147483647 or hosts < 1:
        raise ValueError(f"got {width} keys on {hosts} hosts")
    hosts_array, numbers_array = np.empty(count, np.int32), np.empty(count, np.int32)
    cdef int32_t[::1] owners = hosts_array, numbers = numbers_array
    cdef int bits = int(width - 1).bit_length()
    cdef int half = max((bits + 1) // 2, 1)
    cdef uint32_t mask = (<uint64_t> 1 << bits) - 1, home, all_hosts = hosts
    cdef bint inside = True
    with nogil:
        for number in range(count):
            if not 0 <= keys[number] < width:
                inside = False
                break
            home = mixed(keys[number], width, mask, half)
            owners[number] = home % all_hosts
            numbers[number] = home // all_hosts
    if not inside:
        raise ValueError(f"got a key beyond {width - 1}")
    return hosts_array, numbers_array


def different(const int32_t[::1] keys not None):
    """The different ones among keys, in order of first sight, and where each stands among them, without a table of all.

    keys      not negative                                  (keys,)
    returns   (different,), and places among those (keys,)
    """
    cdef Py_ssize_t count = keys.shape[0], number, at
    cdef int bits = max(int(2 * count).bit_length(), 4)
    found_array, places_array = np.empty(count, np.int32), np.empty(count, np.int32)
    cdef int32_t[:, ::1] seen = np.full((1 << bits, 2), -1, np.int32)  # open addressing: a key, and its place
    cdef int32_t[::1] found = found_array, places = places_array
    cdef int32_t used = 0, key = 0
    cdef Py_ssize_t last = (1 << bits) - 1
    cdef int drop = 32 - bits
    if bits > 32:
        raise ValueError(f"got {count} keys at once")
    with nogil:
        for number in range(count):
            key = keys[number]
            if key < 0:
                break
            at = (<uint32_t> key * <uint32_t> FIRST) >> drop
            while seen[at, 0] != key and seen[at, 0] >= 0:
                at = (at + 1) & last
            if seen[at, 0] < 0:
                seen[at, 0] = key
                seen[at, 1] = used
                found[used] = key
                used += 1
            places[number] = seen[at, 1]
    if key < 0:
        raise ValueError(f"got the key {key}")
    return found_array[:used], places_array
