package main

import (
	"math"
	"math/bits"
	"time"
)

// A histogram counts durations in buckets whose width grows with the value. Up to 255
// ns each nanosecond has its own bucket, above it there are 128 buckets for every
// doubling. So a quantile is at most 0.8 % too high. The zero value is empty and ready.
// It is for one goroutine; merge combines several.
type histogram struct {
	counts [exactBuckets + doublings*perDoubling]uint64
	n      uint64
	max    time.Duration
}

const (
	exactBuckets = 256
	perDoubling  = 128
	doublings    = 32 // up to 2^40 ns, 18 minutes; a longer duration counts as that
)

// record counts one duration.
func (h *histogram) record(d time.Duration) {
	h.counts[bucket(d)]++
	h.n++
	h.max = max(h.max, d)
}

// merge adds the counts of o.
func (h *histogram) merge(o *histogram) {
	for i, c := range o.counts {
		h.counts[i] += c
	}
	h.n += o.n
	h.max = max(h.max, o.max)
}

// quantile returns the duration that the share q of all did not exceed, 0 without any
// counts.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.n)))
	var seen uint64
	for i, c := range h.counts {
		seen += c
		if c > 0 && seen >= rank {
			return min(highest(i), h.max)
		}
	}
	return h.max
}

// bucket returns the index of the bucket that counts d.
func bucket(d time.Duration) int {
	v := uint64(max(d, 0))
	if v < exactBuckets {
		return int(v)
	}
	shift := bits.Len64(v) - 8 // leaves the leading 8 bits: 128 to 255
	if shift > doublings {
		return exactBuckets + doublings*perDoubling - 1
	}
	return exactBuckets + (shift-1)*perDoubling + int(v>>shift) - perDoubling
}

// highest returns the longest duration that bucket i counts.
func highest(i int) time.Duration {
	if i < exactBuckets {
		return time.Duration(i)
	}
	shift := (i-exactBuckets)/perDoubling + 1
	leading := (i-exactBuckets)%perDoubling + perDoubling
	return time.Duration((leading+1)<<shift - 1)
}
