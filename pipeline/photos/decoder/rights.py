"""Drop every right of this process that decoding does not need."""

import ctypes
import os
import platform
import resource
import struct
import sys
from contextlib import suppress

# ID of the user and group `nobody` on Linux.
NOBODY = 65534

PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
# The flag applies the filter to threads that libraries have already started.
SECCOMP_FILTER_FLAG_TSYNC = 1
SECCOMP_ALLOW = 0x7FFF0000
SECCOMP_ERRNO = 0x00050000
SECCOMP_KILL_PROCESS = 0x80000000
CLONE_THREAD = 0x10000
EPERM, ENOSYS = 1, 38

# The system calls that decoding needs: memory, threads of this process, the clock and the three standard streams.
# Files, sockets, signals, other processes and their memory are not accessible.
ALLOWED = (
    "read", "write", "close", "fstat", "lseek", "mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex",
    "set_robust_list", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "exit", "exit_group",
    "getrandom", "clock_gettime", "clock_nanosleep", "sched_yield", "sched_getaffinity", "getpid", "gettid",
    # Pillow calls getcwd while it encodes.
    "getcwd",
)  # fmt: skip
# For each machine: its id in a seccomp filter, the numbers of seccomp, clone and clone3, and those of ALLOWED.
MACHINES = {
    "x86_64": (0xC000003E, 317, 56, 435, (
        0, 1, 3, 5, 8, 9, 11, 25, 10, 28, 12, 202, 273, 334, 13, 14, 15, 131, 60, 231, 318, 228, 230, 24, 204, 39, 186,
        79,
    )),
    "aarch64": (0xC00000B7, 277, 220, 435, (
        63, 64, 57, 80, 62, 222, 215, 216, 226, 233, 214, 98, 99, 293, 134, 135, 139, 132, 93, 94, 278, 113, 115, 124,
        123, 172, 178, 17,
    )),
}  # fmt: skip

# Operations of a seccomp filter: load a word, jump if equal, jump if any bit is set, return.
LOAD, JUMP_EQUAL, JUMP_BITS, RETURN = 0x20, 0x15, 0x45, 0x06
# Offsets of the call's number, the machine and the first argument in the kernel's seccomp_data.
NUMBER_AT, MACHINE_AT, ARGUMENT_AT = 0, 4, 16


def drop_privileges(memory_bytes: int, cpu_seconds: int) -> None:
    """Drop the privileges of this process permanently.

    The process then cannot open files or sockets, write core files or exceed the limits. On Linux a filter also forbids
    new processes and all other system calls that decoding does not need. On macOS there is no memory limit."""
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: 0,
        # No file can be opened, even after the standard streams are closed.
        resource.RLIMIT_NOFILE: 0,
        # With 1 instead of 0 the kernel also skips a core handler that reads from a pipe.
        resource.RLIMIT_CORE: 1,
    }
    if sys.platform != "darwin":  # macOS defines this limit but refuses to set it.
        limits[resource.RLIMIT_AS] = memory_bytes
    for limit, value in limits.items():
        hard = resource.getrlimit(limit)[1]
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowest, lowest))
    if os.geteuid() == 0:
        # A container's root may lack the capability to change users. The filter below protects in that case.
        with suppress(OSError):
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY) if sys.platform == "linux" else os.setgid(NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY) if sys.platform == "linux" else os.setuid(NOBODY)
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
        forbid_system_calls(libc)


def forbid_system_calls(libc: ctypes.CDLL) -> bool:
    """Forbid all system calls except ALLOWED and new threads.

    Returns False if the kernel or the machine does not support the filter."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return False
    name, seccomp, clone, clone3, numbers = machine
    program = build_filter(name, clone, clone3, numbers)
    instructions = ctypes.create_string_buffer(program, len(program))
    description = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions)))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return bool(libc.syscall(seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, description) == 0)


def build_filter(machine: int, clone: int, clone3: int, allowed: tuple[int, ...]) -> bytes:
    """Return the filter's instructions, 8 bytes each: operation, jump if true, jump if false, value."""

    def instruction(operation: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("=HBBI", operation, if_true, if_false, value)

    # New threads are allowed and new processes are not. A filter cannot read the flags of clone3, so clone3 returns
    # ENOSYS, and libraries fall back to clone.
    parts = [
        instruction(LOAD, MACHINE_AT),
        instruction(JUMP_EQUAL, machine, if_true=1),
        instruction(RETURN, SECCOMP_KILL_PROCESS),
        instruction(LOAD, NUMBER_AT),
        instruction(JUMP_EQUAL, clone3, if_false=1),
        instruction(RETURN, SECCOMP_ERRNO | ENOSYS),
        *(part for number in allowed for part in (
            instruction(JUMP_EQUAL, number, if_false=1),
            instruction(RETURN, SECCOMP_ALLOW),
        )),
        instruction(JUMP_EQUAL, clone, if_false=3),
        instruction(LOAD, ARGUMENT_AT),
        instruction(JUMP_BITS, CLONE_THREAD, if_false=1),
        instruction(RETURN, SECCOMP_ALLOW),
        instruction(RETURN, SECCOMP_ERRNO | EPERM),
    ]  # fmt: skip
    return b"".join(parts)
