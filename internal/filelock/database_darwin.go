package filelock

// setLock asks for a lock that belongs to the open file, and does not wait:
// F_OFD_SETLK of <sys/fcntl.h>.
const setLock = 90
