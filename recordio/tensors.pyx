"""Records of tensors, parsed in one compiled pass that writes straight into the arrays of a batch.

What is read here is what writers make: a frame in one piece, one entry "values" in features and at most one in label,
packed fields in the order of their numbers, sparse keys rising. At the first record that is anything else the pass
stops, and `protobuf`, which knows all of the format and words its faults, takes over for that one.

Every read is bounded by a cursor's end, every write by the capacity of its array.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

import sys

import numpy as np

from recordio.framing import HEAD, LENGTH_BITS, MAGIC
from recordio.schema import FEATURES, KEY, KEYS, LABEL, SHAPE, TENSORS, VALUES
from recordio.wire import DELIMITED

if sys.byteorder != "little":
    raise ImportError("recordio reads numbers as they lie in memory, and expects a little-endian processor")

ctypedef fused Real:
    float
    double

cdef enum:
    ROOM_BYTES = 1 << 24  # made for a block before its records are there
    LEAST_ENTRY_BYTES = 2  # of a sparse record: a value and a key

cdef struct Cursor:  # bytes from `at` up to `end`
    const unsigned char *at
    const unsigned char *end

cdef struct Tensor:  # a tag of Value, and packed fields; those that are not there are empty
    unsigned char kind
    Cursor values
    Cursor keys
    Cursor shape

cdef struct Record:
    Tensor features
    Tensor label

cdef struct Form:  # what the records of one block have in common
    bint sparse
    int64_t width
    int64_t labels

cdef struct Alike:  # a frame, and where in it other bytes than numbers are: [0, head), [tail, label), [rest, length)
    const unsigned char *frame
    int64_t length  # 0 when the next frame must be parsed
    int64_t head
    int64_t tail
    int64_t label
    int64_t rest

cdef struct Bounds:
    int64_t record_bytes
    int64_t values  # of one record
    int64_t width   # of a sparse record
    int64_t stated  # width of a sparse record that has no shape; 0 when nobody knows

cdef unsigned char _tag(int number):
    return number << 3 | <int>DELIMITED

cdef bytes _key = KEY.encode()
cdef const unsigned char *KEY_BYTES = _key
cdef Py_ssize_t KEY_LENGTH = len(_key)
cdef int64_t HEAD_BYTES = HEAD.size
cdef uint32_t MAGIC_WORD = MAGIC
cdef int FLAG_SHIFT = LENGTH_BITS
cdef unsigned char FEATURES_TAG = _tag(FEATURES), LABEL_TAG = _tag(LABEL)
cdef unsigned char ENTRY_KEY_TAG = _tag(1), ENTRY_VALUE_TAG = _tag(2)
cdef unsigned char VALUES_TAG = _tag(VALUES), KEYS_TAG = _tag(KEYS), SHAPE_TAG = _tag(SHAPE)
cdef unsigned char FLOAT32 = _tag(TENSORS["float32_tensor"])
cdef unsigned char FLOAT64 = _tag(TENSORS["float64_tensor"])
cdef unsigned char INT32 = _tag(TENSORS["int32_tensor"])


def block(const unsigned char[::1] data not None, int64_t start, int64_t stop, *, rows, dtype, width, limits):
    """An empty block for records like the first of the frames in data[start:stop]; None when that is not plain.

    rows     of the block at most; None for as many as these bytes can hold
    width    columns, when the caller knows: sparse records may then leave out their shape
    """
    cdef Bounds bounds = Bounds(limits.record_bytes, limits.dense_width, limits.sparse_width, width or 0)
    cdef Cursor stream = _part(data, start, stop)
    cdef Record first
    cdef Form form
    if not _next(&stream, &bounds, &first) or not _form(&first, &bounds, &form):
        return None
    # As many as the bytes can hold when all are of the first record's kinds and as small as can be.
    cdef int64_t least = HEAD_BYTES + form.labels * _least_bytes(first.label.kind)
    cdef int64_t row_bytes = form.labels * dtype.itemsize + sizeof(int32_t)
    if not form.sparse:
        least += form.width * _least_bytes(first.features.kind)
        row_bytes += form.width * dtype.itemsize
    cdef int64_t most = (stop - start) // least
    if rows is not None:
        most = min(<int64_t>rows, max(most, ROOM_BYTES // row_bytes))
    cdef Block made = Block.__new__(Block)
    made.form, made.bounds = form, bounds
    made.room = max(<int64_t>1, most)
    made.values = np.empty(0 if form.sparse else made.room * form.width, dtype)
    made.keys = np.empty(0, np.int32)
    made.ends = np.zeros(made.room + 1 if form.sparse else 1, np.int32)
    made.labels = np.empty(made.room * form.labels, dtype)
    return made


cdef class Block:
    """Records of one form, which fill its arrays as their bytes come.

    rows   that are there
    room   for rows
    """

    cdef Form form
    cdef Bounds bounds
    cdef readonly int64_t rows
    cdef readonly int64_t room
    cdef object values, keys, ends, labels

    def extend(self, const unsigned char[::1] data not None, int64_t start, int64_t stop):
        """Add the first of the frames in data[start:stop], as many as are of the form and have room; returns where
        the last of them ends."""
        cdef Cursor stream = _part(data, start, stop)
        if self.form.sparse:
            self._make_room((stop - start) // LEAST_ENTRY_BYTES)
        if self.values.dtype == np.float32:
            self._fill[float](&stream, self.values, self.keys, self.ends, self.labels)
        else:
            self._fill[double](&stream, self.values, self.keys, self.ends, self.labels)
        return stop - (stream.end - stream.at)

    def arrays(self):
        """The features, (rows, width) or, when sparse, (values, keys, ends of the rows, width), and labels, (rows, n)."""
        rows = self.rows
        labels = self.labels[: rows * self.form.labels].reshape(rows, self.form.labels)
        if not self.form.sparse:
            return self.values[: rows * self.form.width].reshape(rows, self.form.width), labels
        used = int(self.ends[rows])
        values, keys = self.values[:used], self.keys[:used]
        if 2 * used < len(self.values):  # a slice would keep all of the memory
            values, keys = values.copy(), keys.copy()
        return (values, keys, self.ends[: rows + 1], self.form.width), labels

    cdef _make_room(self, int64_t entries):
        """For so many more entries of sparse records."""
        cdef int64_t used = self.ends[self.rows]
        if used + entries > len(self.values):
            room = max(used + entries, 2 * len(self.values))
            for name, old in (("values", self.values), ("keys", self.keys)):
                new = np.empty(room, old.dtype)
                new[:used] = old[:used]
                if name == "values":
                    self.values = new
                else:
                    self.keys = new

    cdef _fill(self, Cursor *stream, Real[::1] values, int32_t[::1] keys, int32_t[::1] ends, Real[::1] labels):
        cdef const Form *form = &self.form
        cdef const Bounds *bounds = &self.bounds
        cdef Real *to_values = &values[0] if values.shape[0] else NULL
        cdef Real *to_labels = &labels[0] if labels.shape[0] else NULL
        cdef int32_t *to_keys = &keys[0] if keys.shape[0] else NULL
        cdef int32_t *to_ends = &ends[0]
        cdef int64_t capacity = min(values.shape[0], keys.shape[0], INT32_MAX) if form.sparse else values.shape[0]
        cdef int64_t rows = self.rows, count, used = ends[rows] if form.sparse else 0
        cdef Cursor after = stream[0]
        cdef Record record
        cdef Alike alike
        alike.length = 0
        with nogil:
            while rows < self.room:
                if not _repeats(&alike, &after, &record):
                    alike.frame = after.at
                    if not _next(&after, bounds, &record):
                        break
                    _remember(&alike, after.at, &record)
                if record.label.keys.at < record.label.keys.end or record.label.shape.at < record.label.shape.end:
                    break
                if _numbers(&record.label, to_labels + rows * form.labels, form.labels) != form.labels:
                    break
                if form.sparse != _is_sparse(&record.features):
                    break
                if form.sparse:
                    if _width(&record.features, bounds) != form.width:
                        break
                    count = _numbers(&record.features, to_values + used, min(capacity - used, bounds.values))
                    if count < 0 or not _keys(record.features.keys, to_keys + used, count, form.width):
                        break
                    used += count
                    to_ends[rows + 1] = <int32_t>used
                else:
                    if not _has_shape(&record.features, form.width):
                        break
                    if _numbers(&record.features, to_values + rows * form.width, form.width) != form.width:
                        break
                rows += 1
                stream[0] = after
        self.rows = rows


cdef Cursor _part(const unsigned char[::1] data, int64_t start, int64_t stop) except *:
    if not 0 <= start <= stop <= data.shape[0]:
        raise IndexError(f"got {start}:{stop}, expected a part of {data.shape[0]} bytes")
    return Cursor(&data[0] + start, &data[0] + stop) if stop > start else Cursor(NULL, NULL)


cdef inline bint _repeats(Alike *alike, Cursor *stream, Record *record) noexcept nogil:
    """Step over a frame that differs from the one before in nothing but its numbers: `record` is moved along."""
    cdef int64_t shift
    if not alike.length or stream.end - stream.at < alike.length:
        return False
    if memcmp(stream.at, alike.frame, alike.head) != 0:
        return False
    if memcmp(stream.at + alike.tail, alike.frame + alike.tail, alike.label - alike.tail) != 0:
        return False
    if memcmp(stream.at + alike.rest, alike.frame + alike.rest, alike.length - alike.rest) != 0:
        return False
    shift = stream.at - alike.frame
    record.features.values = Cursor(record.features.values.at + shift, record.features.values.end + shift)
    if record.label.kind:
        record.label.values = Cursor(record.label.values.at + shift, record.label.values.end + shift)
    alike.frame = stream.at
    stream.at += alike.length
    return True


cdef inline void _remember(Alike *alike, const unsigned char *end, const Record *record) noexcept nogil:
    """A frame that ends at `end`, for comparison, when it is dense and its numbers stand in the usual order."""
    cdef const Tensor *features = &record.features
    alike.length = end - alike.frame
    alike.head = features.values.at - alike.frame
    alike.tail = alike.label = alike.rest = features.values.end - alike.frame
    if record.label.kind:
        alike.label = record.label.values.at - alike.frame
        alike.rest = record.label.values.end - alike.frame
    if features.keys.at < features.keys.end or features.shape.at < features.shape.end or alike.label < alike.tail:
        alike.length = 0


cdef bint _next(Cursor *stream, const Bounds *bounds, Record *record) noexcept nogil:
    """Step over a whole frame in one piece, with a record of plain tensors in it."""
    cdef uint32_t head[2]
    cdef int64_t left = stream.end - stream.at, length
    if left < HEAD_BYTES:
        return False
    memcpy(head, stream.at, sizeof(head))
    length = head[1]
    # A flag in the upper bits makes the length too large.
    if head[0] != MAGIC_WORD or length >> FLAG_SHIFT or length > bounds.record_bytes:
        return False
    if HEAD_BYTES + length + (-length & 3) > left:
        return False
    cdef Cursor payload = Cursor(stream.at + HEAD_BYTES, stream.at + HEAD_BYTES + length)
    stream.at = payload.end + (-length & 3)
    return _record(payload, record)


cdef bint _record(Cursor payload, Record *record) noexcept nogil:
    cdef Cursor entry
    record.features.kind = record.label.kind = 0
    record.label.values = record.label.keys = record.label.shape = Cursor(NULL, NULL)
    while payload.at < payload.end:
        if payload.at[0] == FEATURES_TAG and not record.features.kind:
            if not _open(&payload, FEATURES_TAG, &entry) or not _tensor(entry, &record.features):
                return False
        elif payload.at[0] == LABEL_TAG and not record.label.kind:
            if not _open(&payload, LABEL_TAG, &entry) or not _tensor(entry, &record.label):
                return False
        else:
            return False
    return record.features.kind != 0


cdef bint _tensor(Cursor entry, Tensor *tensor) noexcept nogil:
    """The tensor of a map entry."""
    cdef Cursor name, value, fields
    if not _open(&entry, ENTRY_KEY_TAG, &name) or not _open(&entry, ENTRY_VALUE_TAG, &value) or entry.at < entry.end:
        return False
    if name.end - name.at != KEY_LENGTH or memcmp(name.at, KEY_BYTES, KEY_LENGTH) != 0 or value.at == value.end:
        return False
    tensor.kind = value.at[0]
    if tensor.kind != FLOAT32 and tensor.kind != FLOAT64 and tensor.kind != INT32:
        return False
    if not _open(&value, tensor.kind, &fields) or value.at < value.end:
        return False
    if not _packed(&fields, VALUES_TAG, &tensor.values) or not _packed(&fields, KEYS_TAG, &tensor.keys):
        return False
    return _packed(&fields, SHAPE_TAG, &tensor.shape) and fields.at == fields.end


cdef inline bint _packed(Cursor *fields, unsigned char tag, Cursor *field) noexcept nogil:
    if fields.at < fields.end and fields.at[0] == tag:
        return _open(fields, tag, field)
    field.at = field.end = fields.at
    return True


cdef inline bint _open(Cursor *outer, unsigned char tag, Cursor *inner) noexcept nogil:
    """Step over a field with this tag and a length, into its content."""
    cdef uint64_t length
    if outer.at == outer.end or outer.at[0] != tag:
        return False
    outer.at += 1
    if not _varint(outer, &length) or length > <uint64_t>(outer.end - outer.at):
        return False
    inner.at = outer.at
    inner.end = outer.at = outer.at + length
    return True


cdef inline bint _varint(Cursor *numbers, uint64_t *value) noexcept nogil:
    """Step over a varint. False when it is cut off or does not fit into 64 bits."""
    cdef uint64_t byte
    cdef int shift = 0
    value[0] = 0
    while numbers.at < numbers.end:
        byte = numbers.at[0]
        numbers.at += 1
        value[0] |= (byte & 0x7F) << shift
        if byte < 0x80:
            return shift < 63 or byte <= 1
        shift += 7
        if shift > 63:
            return False
    return False


cdef int64_t _numbers(const Tensor *tensor, Real *out, int64_t capacity) noexcept nogil:
    """Write the values of a tensor; returns how many, or -1 when they are more than `capacity` or cut off."""
    cdef Cursor values = tensor.values
    cdef int64_t count, index, size = values.end - values.at
    cdef float single
    cdef double twofold
    cdef uint64_t number
    if size == 0:  # nor is there an array, perhaps
        return 0
    if tensor.kind == FLOAT32:
        count = size >> 2
        if size & 3 or count > capacity:
            return -1
        if Real is float:
            memcpy(out, values.at, size)
        else:
            for index in range(count):
                memcpy(&single, values.at + 4 * index, 4)
                out[index] = single
    elif tensor.kind == FLOAT64:
        count = size >> 3
        if size & 7 or count > capacity:
            return -1
        if Real is double:
            memcpy(out, values.at, size)
        else:
            for index in range(count):
                memcpy(&twofold, values.at + 8 * index, 8)
                out[index] = <float>twofold
    else:
        count = 0
        while values.at < values.end:
            if count == capacity or not _varint(&values, &number):
                return -1
            out[count] = <Real><int32_t>number
            count += 1
    return count


cdef bint _keys(Cursor keys, int32_t *out, int64_t count, int64_t width) noexcept nogil:
    """Write `count` keys. False when there are more or fewer, or when they do not rise from 0 to below `width`."""
    cdef int64_t index, last = -1
    cdef uint64_t key
    for index in range(count):
        if not _varint(&keys, &key) or key >= <uint64_t>width or <int64_t>key <= last:
            return False
        last = <int64_t>key
        out[index] = <int32_t>last
    return keys.at == keys.end


cdef bint _form(const Record *record, const Bounds *bounds, Form *form) noexcept nogil:
    """The form of the first record of a block. False when it is beyond the bounds."""
    form.labels = _count(&record.label) if record.label.kind else 0
    form.sparse = _is_sparse(&record.features)
    form.width = _width(&record.features, bounds) if form.sparse else _count(&record.features)
    return 0 <= form.labels <= bounds.values and 0 < form.width <= (bounds.width if form.sparse else bounds.values)


cdef int64_t _count(const Tensor *tensor) noexcept nogil:
    cdef Cursor values = tensor.values
    cdef int64_t count = 0
    if tensor.kind != INT32:
        return (values.end - values.at) // _least_bytes(tensor.kind)
    while values.at < values.end:
        count += values.at[0] < 0x80  # the last byte of a varint
        values.at += 1
    return count


cdef inline int64_t _least_bytes(unsigned char kind) noexcept nogil:
    return 4 if kind == FLOAT32 else 8 if kind == FLOAT64 else 1


cdef inline bint _is_sparse(const Tensor *tensor) noexcept nogil:
    """With keys, and also with nothing but a shape: the SageMaker SDK writes an all-zero row so."""
    if tensor.keys.at < tensor.keys.end:
        return True
    return tensor.values.at == tensor.values.end and tensor.shape.at < tensor.shape.end


cdef inline bint _has_shape(const Tensor *tensor, int64_t width) noexcept nogil:
    """Whether a dense record's shape, if it has one, says its width."""
    cdef Cursor shape = tensor.shape
    cdef uint64_t size
    if shape.at == shape.end:
        return True
    return _varint(&shape, &size) and shape.at == shape.end and size == <uint64_t>width


cdef inline int64_t _width(const Tensor *tensor, const Bounds *bounds) noexcept nogil:
    """Columns of a sparse record, or 0 when it does not say them in one number within the bounds."""
    cdef Cursor shape = tensor.shape
    cdef uint64_t size
    if shape.at == shape.end:
        return bounds.stated
    if not _varint(&shape, &size) or shape.at < shape.end or size > <uint64_t>bounds.width:
        return 0
    return <int64_t>size
