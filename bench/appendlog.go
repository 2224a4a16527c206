package main

import (
	"fmt"
	"os"
	"sync"
)

// An appendLog has the least possible cost of stable storage. It is a file whose blocks
// all exist, written from its beginning again when it is full, with one fdatasync for
// all waiting entries. It cannot be read back; it is a measure, not a store.
type appendLog struct {
	file    *os.File
	entries chan entry
	done    sync.WaitGroup
}

// An entry is the data that one request has to store, and the channel for its result.
type entry struct {
	body   []byte
	stored chan error
}

const (
	logSize    = 64 << 20 // of the file
	logWaiting = 512      // entries that one sync may cover
)

// openLog creates the file, writes all its blocks and starts the writer.
func openLog(path string) (*appendLog, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < logSize; at += int64(len(zeros)) {
		if _, err := file.WriteAt(zeros, at); err != nil {
			return nil, fmt.Errorf("preparing the log: %w", err)
		}
	}
	if err := file.Sync(); err != nil {
		return nil, fmt.Errorf("preparing the log: %w", err)
	}
	l := &appendLog{file: file, entries: make(chan entry, logWaiting)}
	l.done.Go(l.write)
	return l, nil
}

// append returns when body is on stable storage.
func (l *appendLog) append(body []byte) error {
	e := entry{body: body, stored: make(chan error, 1)}
	l.entries <- e
	return <-e.stored
}

// write commits everything that waits in one group, without a timer.
func (l *appendLog) write() {
	var at int64
	group := make([]entry, 0, logWaiting)
	buf := make([]byte, 0, 1<<20)
	for first := range l.entries {
		group, buf = append(group[:0], first), append(buf[:0], first.body...)
		for len(group) < logWaiting && len(l.entries) > 0 {
			e := <-l.entries
			group, buf = append(group, e), append(buf, e.body...)
		}
		if at+int64(len(buf)) > logSize {
			at = 0
		}
		_, err := l.file.WriteAt(buf, at)
		if err == nil {
			err = syncData(l.file)
		}
		at += int64(len(buf))
		for _, e := range group {
			e.stored <- err
		}
	}
}

// close waits for the writer. Nothing may be appended any more.
func (l *appendLog) close() error {
	close(l.entries)
	l.done.Wait()
	return l.file.Close()
}
