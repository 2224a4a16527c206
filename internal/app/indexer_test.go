package app

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amtp-go/amtp/internal/gateway"
)

// indexed is a store that only answers IndexMail, and takes 10 ms for it.
type indexed struct {
	answers []gateway.Indexed // in their order, the last again and again
	fails   int               // calls that fail before them
	at      []time.Duration   // since the beginning
	began   time.Time
}

func (s *indexed) IndexMail(context.Context, int) (gateway.Indexed, error) {
	s.at = append(s.at, time.Since(s.began))
	time.Sleep(10 * time.Millisecond)
	if s.fails > 0 {
		s.fails--
		return gateway.Indexed{}, errors.New("the disk is full")
	}
	answer := s.answers[0]
	if len(s.answers) > 1 {
		s.answers = s.answers[1:]
	}
	return answer, nil
}

// runIndexer runs the indexer for some time, and returns what it logged.
func runIndexer(t *testing.T, s *indexed, length time.Duration) string {
	t.Helper()
	var log strings.Builder
	s.began = time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	x := &indexer{store: s, log: slog.New(slog.NewTextHandler(&log, nil))}
	if err := x.Run(ctx); err != nil {
		t.Errorf("Run = %v, want no error", err)
	}
	return log.String()
}

func ms(list ...int) (all []time.Duration) {
	for _, n := range list {
		all = append(all, time.Duration(n)*time.Millisecond)
	}
	return all
}

// TestIndexerRests: it works a tenth of the time while mail arrives, half of the time at a
// backlog, and looks once a second when there is nothing to do.
func TestIndexerRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &indexed{answers: []gateway.Indexed{{More: true, Newest: 1}, {More: true, Newest: 2},
			{More: true, Newest: 2}, {More: true, Newest: 2}, {Newest: 2}}}
		if log := runIndexer(t, s, 1500*time.Millisecond); log != "" {
			t.Errorf("logged %q, want nothing", log)
		}
		if want := ms(0, 100, 200, 220, 240, 1250); !slices.Equal(s.at, want) {
			t.Errorf("steps at %v, want %v", s.at, want)
		}
	})
}

// TestIndexerGoesOn: it logs a failure once, tries again, and says when it works again.
func TestIndexerGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &indexed{answers: []gateway.Indexed{{Newest: 1}}, fails: 2}
		log := runIndexer(t, s, 21*time.Second)
		if want := ms(0, 10_010, 20_020); !slices.Equal(s.at, want) {
			t.Errorf("steps at %v, want %v", s.at, want)
		}
		if strings.Count(log, "cannot be filled now") != 1 || strings.Count(log, "is filled again") != 1 {
			t.Errorf("logged %q, want one line for the failure and one for its end", log)
		}
	})
}
