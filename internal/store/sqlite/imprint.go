package sqlite

import (
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sync"
)

// imprints are the imprints of the two files to which a store writes.
type imprints struct{ database, wal imprint }

// imprint notes what this process wrote to a file: the length of the file, and the
// content of the last places that it wrote. A file with other content was written by
// another program. A copy of an earlier moment differs in just the places that were
// written since.
type imprint struct {
	mu    sync.Mutex
	begun int64 // number of writes that began
	ended int64
	size  int64 // -1 while it is not known
	first stretch
	last  []stretch // newest last; no two overlap
}

// stretch is a part of a file, with the checksum of its content.
type stretch struct {
	off int64
	len int
	sum uint32
}

// maxStretches is how many writes are noted, besides the first stretch.
const maxStretches = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func stretchOf(p []byte, off int64) stretch {
	return stretch{off: off, len: len(p), sum: crc32.Checksum(p, castagnoli)}
}

// note writes p, and notes the write.
func (m *imprint) note(p []byte, off int64, write func([]byte, int64) (int, error)) (int, error) {
	if m == nil {
		return write(p, off)
	}
	s := stretchOf(p, off)
	m.begin()
	n, err := write(p, off)
	m.end(func() {
		if err != nil {
			m.size, m.first, m.last = -1, stretch{}, nil // a part of p may have been written
			return
		}
		if m.size >= 0 {
			m.size = max(m.size, off+int64(len(p)))
		}
		m.drop(off, off+int64(len(p)))
		if off == 0 {
			m.first = s
			return
		}
		if len(m.last) == maxStretches {
			m.last = slices.Delete(m.last, 0, 1)
		}
		m.last = append(m.last, s)
	})
	return n, err
}

// noteSize truncates the file, and notes its size.
func (m *imprint) noteSize(size int64, truncate func(int64) error) error {
	if m == nil {
		return truncate(size)
	}
	m.begin()
	err := truncate(size)
	m.end(func() {
		m.size = size
		if err != nil {
			m.size = -1
		}
		m.drop(size, 1<<62)
	})
	return err
}

func (m *imprint) begin() {
	m.mu.Lock()
	m.begun++
	m.mu.Unlock()
}

func (m *imprint) end(note func()) {
	m.mu.Lock()
	note()
	m.ended++
	m.mu.Unlock()
}

// drop forgets the writes between two offsets.
func (m *imprint) drop(from, to int64) {
	over := func(s stretch) bool { return s.off < to && from < s.off+int64(s.len) }
	if over(m.first) {
		m.first = stretch{}
	}
	m.last = slices.DeleteFunc(m.last, over)
}

// page is the content of an imprint at one moment at which no write is running.
type page struct {
	at        int64 // number of writes that ended
	size      int64
	stretches []stretch
}

// read returns the content of the imprint. quiet is false while a write is running.
func (m *imprint) read() (p page, quiet bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p = page{at: m.ended, size: m.size, stretches: append([]stretch{m.first}, m.last...)}
	return p, m.begun == m.ended
}

// stillAt reports whether nothing was written since the page was read.
func (m *imprint) stillAt(p page) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.begun == p.at && m.ended == p.at
}

// begins notes the state of a file when it is opened, whatever was written to a file of
// that name before.
func (m *imprint) begins(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, min(pageSize, info.Size()))
	if _, err := io.ReadFull(io.NewSectionReader(f, 0, info.Size()), head); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.begun == m.ended {
		m.size, m.first, m.last = info.Size(), stretchOf(head, 0), nil
	}
	return nil
}

// says reports whether the file still holds what the page notes.
func (p *page) says(f io.ReaderAt) (bool, error) {
	for _, s := range p.stretches {
		if s.len == 0 {
			continue
		}
		b := make([]byte, s.len)
		n, err := f.ReadAt(b, s.off)
		if err != nil && err != io.EOF {
			return false, err
		}
		if n < s.len || crc32.Checksum(b, castagnoli) != s.sum {
			return false, nil
		}
	}
	return true, nil
}
