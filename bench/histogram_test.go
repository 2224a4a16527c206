package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreContiguousAndNarrow(t *testing.T) {
	last := len(histogram{}.counts) - 1
	for i := range last {
		low, high := highest(i)+1, highest(i+1)
		if bucket(low) != i+1 || bucket(high) != i+1 {
			t.Fatalf("bucket(%d), bucket(%d) = %d, %d, want both %d", low, high, bucket(low), bucket(high), i+1)
		}
		if width := float64(high-low) / float64(low); width > 0.008 {
			t.Fatalf("bucket %d from %d to %d is %.4f wide, want at most 0.008", i+1, low, high, width)
		}
	}
	if got := bucket(1 << 50); got != last {
		t.Errorf("bucket of a duration beyond the range = %d, want the last, %d", got, last)
	}
	if got := bucket(-time.Second); got != 0 {
		t.Errorf("bucket of a negative duration = %d, want 0", got)
	}
}

func TestQuantileFollowsTheSortedValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var values []time.Duration
	for range 10_000 {
		d := time.Duration(rng.ExpFloat64() * float64(time.Millisecond))
		h.record(d)
		values = append(values, d)
	}
	slices.Sort(values)
	for _, q := range []float64{0.0001, 0.5, 0.9, 0.99, 0.999, 1} {
		want := values[int(q*float64(len(values)))-1]
		got := h.quantile(q)
		if got < want || float64(got) > float64(want)*1.008 {
			t.Errorf("quantile(%v) = %v, want %v to 0.8 %% more", q, got, want)
		}
	}
}

func TestMergeIsAsIfAllWereRecordedInOne(t *testing.T) {
	var a, b, all histogram
	for i := range 1000 {
		d := time.Duration(i*i) * time.Microsecond
		all.record(d)
		if i%3 == 0 {
			a.record(d)
		} else {
			b.record(d)
		}
	}
	a.merge(&b)
	if a != all {
		t.Errorf("merged: n %d, max %v; want n %d, max %v and the same counts", a.n, a.max, all.n, all.max)
	}
}

func TestAnEmptyHistogramHasNoQuantiles(t *testing.T) {
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("quantile of nothing = %v, want 0", got)
	}
}
