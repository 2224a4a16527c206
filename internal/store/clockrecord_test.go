package store

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const (
	day  = 24 * time.Hour
	year = 365 * day
)

// route is a clock next to the true time, both in microseconds.
type route struct {
	ClockRecord
	shows, ran int64
}

func (r *route) pass(d time.Duration) {
	r.shows, r.ran = r.shows+us(d), r.ran+us(d)
	r.Go(r.shows, us(d))
}

func (r *route) set(by time.Duration) {
	r.shows += us(by)
	r.Jump(r.shows, us(by))
}

// start ends the process and begins another. In between, the clock may be set.
func (r *route) start(by time.Duration) {
	r.shows += us(by)
	r.Begin(r.shows)
}

func begin(at time.Time) *route {
	now := Micros(at)
	r := &route{ClockRecord: NewClockRecord(0, now), shows: now}
	r.Begin(now)
	return r
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestRight reads, at the end of a route, the times that were written at each of its
// stages. It compares their ages with the time that really passed.
func TestRight(t *testing.T) {
	for name, stages := range map[string][]func(*route){
		"goes":               {},
		"behind, then right": {func(r *route) { r.set(-400 * day) }, func(r *route) { r.set(400 * day) }},
		"1970, then right":   {func(r *route) { r.set(-56 * year) }, func(r *route) { r.set(56 * year) }},
		"ahead for a moment": {func(r *route) { r.set(30 * day) }, func(r *route) { r.set(-30 * day) }},
		"ahead, behind, then right": {func(r *route) { r.set(10 * year) }, func(r *route) { r.set(-11 * year) },
			func(r *route) { r.set(year) }},
		"behind at a start":        {func(r *route) { r.start(-400 * day) }, func(r *route) { r.set(400 * day) }},
		"behind, right at a start": {func(r *route) { r.start(-400 * day) }, func(r *route) { r.start(400 * day) }},
		"ahead at a start":         {func(r *route) { r.start(400 * day) }, func(r *route) { r.start(-400 * day) }},
		"over and over": {func(r *route) { r.start(-56 * year) }, func(r *route) { r.set(56 * year) },
			func(r *route) { r.start(-56 * year) },
			func(r *route) { r.set(56 * year) }, func(r *route) { r.start(-56 * year) },
			func(r *route) { r.set(56 * year) }},
	} {
		t.Run(name, func(t *testing.T) {
			r := begin(noon)
			var wrote, ran []int64
			for _, stage := range append(stages, func(*route) {}) {
				r.pass(time.Minute)
				wrote, ran = append(wrote, r.shows), append(ran, r.ran)
				r.End(int64(len(wrote)))
				r.pass(time.Minute)
				stage(r)
			}
			for i, at := range wrote {
				right, _ := r.Correct(at, r.shows, int64(i+1))
				age, want := time.Duration(r.shows-right)*time.Microsecond, time.Duration(r.ran-ran[i])*time.Microsecond
				if age > want+clockSlack+ClockEvery || age < 0 {
					t.Errorf("what was written at stage %d is %v old, want %v at the most", i, age, want)
				}
			}
		})
	}
}

// TestRightKeeps: a corrected time is not corrected again, and no time is made older.
func TestRightKeeps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := begin(noon)
		var wrote []int64
		for range rapid.IntRange(1, 12).Draw(t, "stages") {
			r.pass(time.Duration(rapid.IntRange(1, 600).Draw(t, "minutes")) * time.Minute)
			wrote = append(wrote, r.shows)
			r.End(int64(len(wrote)))
			by := time.Duration(rapid.IntRange(-12, 12).Draw(t, "months")) * 30 * day
			if rapid.Bool().Draw(t, "start") {
				r.start(by)
			} else if by != 0 {
				r.set(by)
			}
		}
		if len(r.Eras) > maxEras {
			t.Fatalf("%d eras are remembered, want %d at the most", len(r.Eras), maxEras)
		}
		for i, at := range wrote {
			right, lasting := r.Correct(at, r.shows, int64(i+1))
			if right < at && at <= r.shows+us(clockSlack) {
				t.Fatalf("%d was made older: %d", at, right)
			}
			if right > r.shows+us(clockSlack) {
				t.Fatalf("%d is read as %d, which is ahead of %d", at, right, r.shows)
			}
			if again, _ := r.Correct(right, r.shows, int64(i+1)); lasting && again != right {
				t.Fatalf("%d was put right as %d, and then as %d", at, right, again)
			}
		}
	})
}

// weekly is a gateway that was off for a week, and then several times for the given
// duration. It runs for an hour each time.
func weekly(off time.Duration, times int) func(*route) {
	return func(r *route) {
		r.start(7 * day)
		r.pass(time.Hour)
		for range times - 1 {
			r.start(off)
			r.pass(time.Hour)
		}
	}
}

// TestDoubt: for how long a clock is doubted after each kind of jump.
func TestDoubt(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(*route)
		doubt time.Duration
	}{
		"a start as if nothing had been": {func(r *route) { r.start(time.Hour) }, 0},
		"a weekend off":                  {func(r *route) { r.start(60 * time.Hour) }, 0},
		"a week off":                     {func(r *route) { r.start(7 * day) }, doubtStart},
		"a year off":                     {func(r *route) { r.start(year) }, doubtStart},
		"a start a second earlier":       {func(r *route) { r.start(-time.Second) }, 0},
		"a start an hour earlier":        {func(r *route) { r.start(-time.Hour) }, doubtStart},
		"a night asleep":                 {func(r *route) { r.set(9 * time.Hour) }, doubtSleep},
		"a week ahead":                   {func(r *route) { r.set(7 * day) }, doubtRunning},
		"an hour back":                   {func(r *route) { r.set(-time.Hour) }, doubtRunning},
		"a sleep while it was doubted": {func(r *route) {
			r.set(7 * day)
			r.set(9 * time.Hour)
		}, doubtRunning},
		"half of the doubt": {func(r *route) {
			r.set(7 * day)
			r.pass(doubtRunning / 2)
		}, doubtRunning / 2},
		"all of it": {func(r *route) { r.set(7 * day); r.pass(doubtRunning) }, 0},
		"a restart in it": {func(r *route) {
			r.set(7 * day)
			r.start(time.Minute)
		}, doubtRunning},
		"a week off, then runs of an hour a day":       {weekly(day, 3), doubtStart>>2 - time.Hour},
		"a week off, again and again, runs of an hour": {weekly(7*day, 9), 0},
		"the same, and then a jump back": {func(r *route) {
			weekly(7*day,
				9)(r)
			r.start(-day)
		}, doubtStart},
		"months off, runs of two days": {func(r *route) {
			for range 5 {
				r.start(60 * day)
				r.pass(2 * day)
			}
			r.start(60 * day)
		}, doubtStart},
		"a far time that was not taken back": {func(r *route) {
			r.set(100 * year)
			r.start(-100 * year)
			r.pass(doubtStart)
		}, 0},
	} {
		r := begin(noon)
		r.pass(time.Hour)
		if c.do(r); r.Doubt != us(c.doubt) {
			t.Errorf("after %s the clock is doubted for %v, want %v", name, length(r.Doubt), c.doubt)
		}
	}
}

// TestRightJob: a job that had to wait waits for as long, no lease is longer than
// maxLease, and no time is in the future.
func TestRightJob(t *testing.T) {
	c, now := begin(noon).ClockRecord, Micros(noon)
	at := func(d time.Duration) int64 { return now + us(d) }
	for name, j := range map[string]struct{ was, want JobTimes }{
		"of now": {JobTimes{Changed: at(-time.Hour), Begun: at(-day), Due: at(time.Hour)},
			JobTimes{Changed: at(-time.Hour), Begun: at(-day), Due: at(time.Hour)}},
		"retried in ten years": {JobTimes{Changed: at(10 * year), Begun: at(-day), LastTry: at(10 * year),
			Due: at(10*year + time.Minute)},
			JobTimes{Changed: now, Begun: at(-day), LastTry: now, Due: at(time.Minute)}},
		"accepted in an hour": {JobTimes{Changed: at(time.Hour), Begun: at(time.Hour), Due: at(time.Hour)},
			JobTimes{Changed: now, Begun: now, Due: now}},
		"leased in ten years": {JobTimes{Changed: at(10 * year), Begun: at(-day), Due: at(10*year + 2*time.Minute),
			Lease: at(10*year + 2*time.Minute)},
			JobTimes{Changed: now, Begun: at(-day), Due: at(2 * time.Minute), Lease: at(2 * time.Minute)}},
		"due in ten years": {JobTimes{Changed: at(-day), Begun: at(-day), Due: at(10 * year)},
			JobTimes{Changed: at(-day), Begun: at(-day), Due: now}},
	} {
		got := j.was
		if changed := c.CorrectJob(&got, now); got != j.want || changed != (j.was != j.want) {
			t.Errorf("%s: %+v, %v, want %+v", name, got, changed, j.want)
		}
		if c.CorrectJob(&got, now) {
			t.Errorf("%s: it is put right again", name)
		}
	}
}
