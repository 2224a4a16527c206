package main

import (
	"slices"
	"testing"
)

func TestTheDefaultsMeasureEverything(t *testing.T) {
	s, err := parse(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Only, workNames()) || !slices.Equal(s.Clients, []int{1, 8, 64}) || s.Messages < 20_000 {
		t.Errorf("parse() = %+v, want every work, 1, 8 and 64 clients, 20,000 messages", s)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, args := range [][]string{
		{"-only", "accept,nothing"},
		{"-clients", "1,zero"},
		{"-clients", "0"},
		{"-rounds", "0"},
		{"-messages", "3"},
		{"-payload", "15"},
		{"-pending", "10000"},
		{"surplus"},
	} {
		if s, err := parse(args); err == nil {
			t.Errorf("parse(%q) = %+v, want an error", args, s)
		}
	}
	s, err := parse([]string{"-only", "ack,size", "-clients", "2", "-payload", "16"})
	if err != nil || !slices.Equal(s.Only, []string{"ack", "size"}) || !slices.Equal(s.Clients, []int{2}) {
		t.Errorf("parse = %+v, %v", s, err)
	}
}

func TestTheMedianLiesBetweenTheExtremes(t *testing.T) {
	samples := []sample{{Rate: 5}, {Rate: 1}, {Rate: 3}, {Rate: 9}}
	if got, want := spreadOf(samples, perSecond), (spread{4, 1, 9}); got != want {
		t.Errorf("spreadOf = %+v, want %+v", got, want)
	}
	if got, want := spreadOf(samples[:3], perSecond), (spread{3, 1, 5}); got != want {
		t.Errorf("spreadOf = %+v, want %+v", got, want)
	}
}
