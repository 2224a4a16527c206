package store

import (
	"slices"
	"testing"

	"github.com/amtp-go/amtp/internal/gateway"
	"pgregory.net/rapid"
)

// listed is a series of numbers in memory that counts how many were read.
func listed(numbers []int64, read *int) Series {
	return Index(func(before int64, limit int) (found []int64, err error) {
		for _, n := range slices.Backward(numbers) {
			if n < before && len(found) < limit {
				found = append(found, n)
			}
		}
		*read += len(found)
		return found, nil
	})
}

// ascending draws a sorted list of different numbers from 1 on.
func ascending(t *rapid.T, name string) []int64 {
	list := rapid.SliceOfDistinct(rapid.Int64Range(1, 400), func(n int64) int64 { return n }).Draw(t, name)
	slices.Sort(list)
	return list
}

// TestPagesAreTheWholeList: the pages, read one after another with any bounds, show the
// numbers that all of the series have, newest first, each once.
func TestPagesAreTheWholeList(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := ascending(t, "a"), ascending(t, "b"), ascending(t, "c")
		odd, floor := rapid.Bool().Draw(t, "odd only"), rapid.Int64Range(0, 50).Draw(t, "floor")
		f := gateway.MessageFilter{Limit: rapid.IntRange(1, 12).Draw(t, "limit"),
			Offset: rapid.IntRange(0, 20).Draw(t, "offset")}
		bounds := Bounds{Total: rapid.IntRange(0, 40).Draw(t, "total"), Scan: rapid.IntRange(1, 60).Draw(t, "scan")}
		var want []int64
		for n := int64(400); n > floor; n-- {
			if slices.Contains(a, n) && (slices.Contains(b, n) || slices.Contains(c, n)) && !(odd && n%2 == 0) {
				want = append(want, n)
			}
		}
		all := len(want)
		want = want[min(f.Offset, len(want)):]
		var got []int64
		for pages := 0; ; pages++ {
			if pages > 1000 {
				t.Fatalf("the list does not end; %v so far", got)
			}
			read := 0
			l := Listing{Series: Intersection(listed(a, &read), Union(listed(b, &read), listed(c, &read))),
				Floor:  floor,
				Bounds: bounds}
			if odd {
				l.Match = func(rows []int64) (match []bool, err error) {
					for _, n := range rows {
						match = append(match, n%2 == 1)
					}
					return match, nil
				}
			}
			rows, page, err := l.Page(f)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, rows...)
			if pages == 0 && !page.Capped && page.Total != all {
				t.Fatalf("Total = %d, want %d", page.Total, all)
			}
			if len(rows) > f.Limit || page.Incomplete && (!page.HasMore || len(rows) == f.Limit) ||
				page.HasMore != (page.Next > 0) {
				t.Fatalf("%d rows of %d, %+v", len(rows), f.Limit, page)
			}
			if most := bounds.Scan + f.Offset + f.Limit + 4*lastStep; read > most {
				t.Fatalf("%d rows were read, want %d at the most", read, most)
			}
			if !page.HasMore {
				break
			}
			f.Offset = max(0, f.Offset-page.Total) // this page has skipped so many
			f.Before = page.Next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("the pages have %v, want %v", got, want)
		}
	})
}

// TestSeriesLeap: an intersection with a short series costs what the short one holds,
// however long the other is.
func TestSeriesLeap(t *testing.T) {
	long := make([]int64, 100_000)
	for i := range long {
		long[i] = int64(i + 1)
	}
	for what, short := range map[string][]int64{"none": nil, "one": {50}, "three far apart": {10, 50_000, 99_999}} {
		for _, turned := range []bool{false, true} {
			read := 0
			pair := []Series{listed(long, &read), listed(short, &read)}
			if turned {
				slices.Reverse(pair)
			}
			l := Listing{Series: Intersection(pair...), Bounds: DefaultBounds()}
			rows, page, err := l.Page(gateway.MessageFilter{Limit: 20})
			slices.Reverse(rows)
			if err != nil || !slices.Equal(rows, short) || page.HasMore {
				t.Errorf("%s: %v, %+v, %v", what, rows, page, err)
			}
			if read > 200 {
				t.Errorf("%s: %d rows were read", what, read)
			}
		}
	}
}
