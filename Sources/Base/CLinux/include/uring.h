// io_uring (linux/io_uring.h). The kernel's structures hold anonymous unions; ours name the members we use.
#ifndef WAFER_CLINUX_URING_H
#define WAFER_CLINUX_URING_H

#include <linux/io_uring.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

struct wafer_uring_submission {
    uint8_t operation;
    uint8_t flags;  // IOSQE_*
    uint16_t priority;
    int32_t descriptor;
    uint64_t offset;
    uint64_t address;  // buffer or iovecs; FALLOCATE: byte count
    uint32_t count;  // bytes or iovecs; FALLOCATE: mode
    uint32_t operation_flags;  // RWF_*, IORING_FSYNC_*, poll events
    uint64_t user_data;
    uint16_t buffer;  // index of a registered buffer
    uint16_t personality;
    uint32_t file_index;
    uint64_t unused[2];
};
#define WAFER_SAME_PLACE(ours, theirs)                                                    \
    _Static_assert(                                                                       \
        offsetof(struct wafer_uring_submission, ours) == offsetof(struct io_uring_sqe, theirs), #ours)
_Static_assert(sizeof(struct wafer_uring_submission) == sizeof(struct io_uring_sqe), "io_uring_sqe");
WAFER_SAME_PLACE(operation, opcode);
WAFER_SAME_PLACE(flags, flags);
WAFER_SAME_PLACE(descriptor, fd);
WAFER_SAME_PLACE(offset, off);
WAFER_SAME_PLACE(address, addr);
WAFER_SAME_PLACE(count, len);
WAFER_SAME_PLACE(operation_flags, rw_flags);
WAFER_SAME_PLACE(user_data, user_data);
WAFER_SAME_PLACE(buffer, buf_index);
WAFER_SAME_PLACE(file_index, file_index);
#undef WAFER_SAME_PLACE

struct wafer_uring_completion {
    uint64_t user_data;
    int32_t result;
    uint32_t flags;
};
_Static_assert(sizeof(struct wafer_uring_completion) == sizeof(struct io_uring_cqe), "io_uring_cqe");

// System calls without a libc wrapper.
static inline int wafer_uring_setup(uint32_t entries, struct io_uring_params *parameters) {
    return (int)syscall(SYS_io_uring_setup, entries, parameters);
}
static inline int wafer_uring_enter(int ring, uint32_t submit, uint32_t wait, uint32_t flags) {
    return (int)syscall(SYS_io_uring_enter, ring, submit, wait, flags, NULL, 0);
}
static inline int wafer_uring_register(int ring, uint32_t operation, void *argument, uint32_t count) {
    return (int)syscall(SYS_io_uring_register, ring, operation, argument, count);
}

// Ends in a flexible array, which Swift cannot express: the wrapper reads the bytes.
_Static_assert(offsetof(struct io_uring_probe, ops) == 16, "io_uring_probe");
_Static_assert(sizeof(struct io_uring_probe_op) == 8, "io_uring_probe_op");

// Macros with casts, as typed constants.
enum : uint32_t {
    WAFER_URING_SETUP_CQSIZE = IORING_SETUP_CQSIZE,
    WAFER_URING_SETUP_CLAMP = IORING_SETUP_CLAMP,
    WAFER_URING_SETUP_R_DISABLED = IORING_SETUP_R_DISABLED,
    WAFER_URING_SETUP_SUBMIT_ALL = IORING_SETUP_SUBMIT_ALL,
    WAFER_URING_SETUP_COOP_TASKRUN = IORING_SETUP_COOP_TASKRUN,
    WAFER_URING_SETUP_TASKRUN_FLAG = IORING_SETUP_TASKRUN_FLAG,
    WAFER_URING_SETUP_SINGLE_ISSUER = IORING_SETUP_SINGLE_ISSUER,
    WAFER_URING_SETUP_DEFER_TASKRUN = IORING_SETUP_DEFER_TASKRUN,
    WAFER_URING_ENTER_GETEVENTS = IORING_ENTER_GETEVENTS,
    WAFER_URING_SQ_CQ_OVERFLOW = IORING_SQ_CQ_OVERFLOW,
    WAFER_URING_SQ_TASKRUN = IORING_SQ_TASKRUN,
    WAFER_URING_CQ_EVENTFD_DISABLED = IORING_CQ_EVENTFD_DISABLED,
    WAFER_URING_FSYNC_DATASYNC = IORING_FSYNC_DATASYNC,
    WAFER_RWF_DSYNC = RWF_DSYNC,
};
enum : uint8_t {
    WAFER_URING_FIXED_FILE = IOSQE_FIXED_FILE,
    WAFER_URING_NOP = IORING_OP_NOP,
    WAFER_URING_READV = IORING_OP_READV,
    WAFER_URING_WRITEV = IORING_OP_WRITEV,
    WAFER_URING_FSYNC = IORING_OP_FSYNC,
    WAFER_URING_READ_FIXED = IORING_OP_READ_FIXED,
    WAFER_URING_WRITE_FIXED = IORING_OP_WRITE_FIXED,
    WAFER_URING_POLL_ADD = IORING_OP_POLL_ADD,
    WAFER_URING_FALLOCATE = IORING_OP_FALLOCATE,
    WAFER_URING_READ = IORING_OP_READ,
    WAFER_URING_WRITE = IORING_OP_WRITE,
};
enum : uint64_t {
    WAFER_URING_OFFSET_SUBMISSIONS = IORING_OFF_SQ_RING,
    WAFER_URING_OFFSET_ENTRIES = IORING_OFF_SQES,
};

#endif
