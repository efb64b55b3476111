/* image_blob.h - reading and writing the content-addressed files of an image store; for importers
 * and registry clients. */
#pragma once

#include "base/buf.h"
#include "image/image.h"

/* Held by whoever adds blobs, from the first blob until a name refers to them, so that the
 * collector does not take them away. ret_fd is closed to let go. */
int image_store_hold(ImageStore *s, int *ret_fd, Err *err) NODISCARD;

/* As long as nobody adds any: ERR_BUSY, somebody does. */
int image_store_hold_alone(ImageStore *s, int *ret_fd, Err *err) NODISCARD;

bool blob_exists(ImageStore *s, const Digest *d, uint64_t *ret_size); /* ret_size may be NULL */
/* Whether it need not be fetched: it has `size` bytes and, where reading it costs next to nothing
 * (BLOB_SMALL), those of its digest. What a power cut left empty or cut off is not. */
enum { BLOB_SMALL = 1024 * 1024 };
bool blob_is_kept(ImageStore *s, const Digest *d, uint64_t size);
/* Removes it if its bytes are not its digest's; true: it did, so that it is fetched again. */
bool blob_drop_damaged(ImageStore *s, const Digest *d);
/* For reading, not verified; the caller closes it. ERR_NOT_FOUND, ERR_SYS. */
int blob_open(ImageStore *s, const Digest *d, int *ret_fd, Err *err) NODISCARD;
/* The whole blob, verified against its digest. ERR_LIMIT beyond `limit`, ERR_CORRUPT. */
int blob_read(ImageStore *s, const Digest *d, size_t limit, Buf *out, Err *err) NODISCARD;

/* A blob being written: a temporary file and a running hash. Freeing before the commit removes it.
 */
typedef struct BlobWriter BlobWriter;
/* The caller ends it with blob_writer_free(). ERR_SYS, ERR_NOMEM. */
int blob_writer_new(ImageStore *s, BlobWriter **ret_w, Err *err) NODISCARD;
BlobWriter *blob_writer_free(BlobWriter *w); /* always NULL */
/* Appends. ERR_LIMIT beyond IMAGE_BLOB_MAX, ERR_SYS; the writer is then good for nothing else. */
int blob_writer_write(BlobWriter *w, const void *data, size_t n, Err *err) NODISCARD;
/* Makes it durable under its digest. With `want`, another digest is ERR_CORRUPT. Outputs may be
 * NULL. */
int blob_writer_commit(BlobWriter *w, const Digest *want, Digest *ret_digest, uint64_t *ret_size,
                       Err *err) NODISCARD;

/* A blob of a known digest in a part file that one process may begin and another carry on with, of
 * those that give the same `tag` (hexadecimal; "": everybody's). *ret_have bytes are there, and
 * hashed. ERR_BUSY: somebody is writing it. ERR_SYS, ERR_NOMEM. */
enum { BLOB_TAG_SIZE = 33 };
int blob_writer_resume(ImageStore *s, const Digest *want, const char *tag, BlobWriter **ret_w,
                       uint64_t *ret_have, Err *err) NODISCARD;
/* Drops what was written. */
int blob_writer_restart(BlobWriter *w, Err *err) NODISCARD;
/* Ends it, but leaves the part file for who carries on; NULL is fine; always NULL. */
BlobWriter *blob_writer_leave(BlobWriter *w);

/* Short forms: from memory, and from a descriptor up to its end. */
int blob_put(ImageStore *s, StrView data, Digest *ret_digest, Err *err) NODISCARD;
int blob_put_fd(ImageStore *s, int fd, const Digest *want, Digest *ret_digest, uint64_t *ret_size,
                Err *err) NODISCARD;
